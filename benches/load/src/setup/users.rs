//! A table of what differs between connections, such as their tokens: `--csv`.

use std::path::Path;

use super::template::is_name;

/// One row for each connection; with fewer rows, from the first again.
#[derive(Debug, Default)]
pub(crate) struct Users {
    pub(crate) columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Names that mean something else.
const TAKEN: [&str; 5] = ["room", "payload", "id", "member", "publisher"];

impl Users {
    /// Reads a file, of which the first line names the columns.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let show = path.display();
        let file = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path);
        let mut file = file.map_err(|error| format!("--csv {show} cannot be read: {error}"))?;
        let is_no_csv = |error: csv::Error| format!("--csv {show} is no table: {error}");
        let columns: Vec<_> =
            file.headers().map_err(is_no_csv)?.iter().map(str::to_owned).collect();
        if let Some(name) = columns.iter().find(|name| !is_name(name) || TAKEN.contains(&&***name))
        {
            return Err(format!(
                "--csv {show}: the first line names the columns, in small letters, digits and _, \
                 and not as {{room}} and its like; {name:?} cannot be one"
            ));
        }
        let mut rows = Vec::new();
        for row in file.records() {
            let row: Vec<_> = row.map_err(is_no_csv)?.iter().map(str::to_owned).collect();
            if row.iter().any(|value| value.contains(char::is_control)) {
                let number = rows.len() + 1;
                return Err(format!("--csv {show}: a value of row {number} has a line break"));
            }
            rows.push(row);
        }
        match rows.is_empty() {
            true => Err(format!("--csv {show} has no rows below the names of its columns")),
            false => Ok(Self { columns, rows }),
        }
    }

    /// What belongs to one connection.
    pub(crate) fn row(&self, connection: u32) -> &[String] {
        match self.rows.len() {
            0 => &[],
            count => &self.rows[connection as usize % count],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Users, String> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("corecast-load-users-{}-{nth}.csv", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let users = Users::read(&path);
        std::fs::remove_file(&path).unwrap();
        users
    }

    #[test]
    fn every_connection_has_a_row() {
        let users = read("user,api_token\nann, t1\nbob,\"t,2\"\n").unwrap();
        assert_eq!(users.columns, ["user", "api_token"]);
        assert_eq!(
            (users.row(0), users.row(3)),
            (&["ann", "t1"].map(str::to_owned)[..], &["bob", "t,2"].map(str::to_owned)[..])
        );
        assert_eq!((users.len(), Users::default().row(9)), (2, &[][..]));
    }

    #[test]
    fn what_is_no_table_is_refused_with_the_reason() {
        let rows = [
            ("user\n", "no rows"),
            ("User\nann\n", "\"User\" cannot be one"),
            ("room\nann\n", "\"room\" cannot be one"),
            ("a,b\n1\n", "no table"),
            ("a,b\n1,\"x\ny\"\n", "row 1 has a line break"),
        ];
        for (text, part) in rows {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Users::read(Path::new("/nowhere.csv")).unwrap_err().contains("cannot be read"));
    }
}
