// Issues tokens with jose. Needs: npm install jose.
//
// It makes keys of its own, prints them as one line of JSON, and then answers each line with a token:
//
//     {"alg": "RS256", "claims": {...}, "headers": {"kid": "..."}}

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Unlike import, require also looks where NODE_PATH points.
const jose = createRequire(import.meta.url)("jose");

const secret = randomBytes(32).toString("hex");
const pairs = {};
const shown = { secret };
for (const alg of ["RS256", "ES256", "EdDSA"]) {
  const options = { extractable: true, ...(alg === "EdDSA" && { crv: "Ed25519" }) };
  pairs[alg] = await jose.generateKeyPair(alg, options);
  shown[alg] = {
    public: await jose.exportSPKI(pairs[alg].publicKey),
    private: await jose.exportPKCS8(pairs[alg].privateKey),
    jwk: await jose.exportJWK(pairs[alg].publicKey),
  };
}
console.log(JSON.stringify(shown));

for await (const line of createInterface({ input: process.stdin })) {
  const { alg, claims, headers } = JSON.parse(line);
  const key = alg.startsWith("HS") ? new TextEncoder().encode(secret) : pairs[alg].privateKey;
  console.log(await new jose.SignJWT(claims).setProtectedHeader({ alg, ...headers }).sign(key));
}
