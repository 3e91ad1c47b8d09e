//! What a report must say where nothing goes wrong.

use serde_json::{Value, json};

/// No message was lost or damaged, and no connection failed.
pub(crate) fn check_clean(json: &Value) {
    for count in ["lost", "repeated", "disordered", "damaged", "unsent"] {
        assert_eq!(json["messages"][count], 0, "{count} in {json}");
    }
    assert_eq!(json["connections"]["failed"], 0, "{json}");
}

/// Beyond that, every message that was due was delivered, and there was one.
pub(crate) fn check_all_delivered(json: &Value) {
    check_clean(json);
    assert_eq!(json["messages"]["delivered"], json["messages"]["expected"]);
    assert!(json["messages"]["delivered"].as_u64().unwrap() > 0, "{json}");
    assert_eq!(json["errors"], json!({}));
}
