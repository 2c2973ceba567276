// Validates an ID token in the browser: each check is one step, names itself in
// its error, and says what it expected and what arrived.
import { FlowError, mustEqual, shown } from "./errors.js";
import { answerError, requestJSON } from "./http.js";
import { decode, fromBase64url, toBase64url } from "./jwt.js";

/**
 * What WebCrypto needs for each signature algorithm that this client accepts.
 * An algorithm that is not listed does not exist here: neither "none", nor an
 * HMAC keyed with the public key (RFC 8725 §2.1, §3.1).
 */
const algorithms = {
  RS256: {
    fits: (/** @type {any} */ jwk) => jwk.kty === "RSA",
    bare: (/** @type {any} */ { kty, n, e }) => ({ kty, n, e }),
    key: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    verify: { name: "RSASSA-PKCS1-v1_5" },
  },
  ES256: {
    fits: (/** @type {any} */ jwk) => jwk.kty === "EC" && jwk.crv === "P-256",
    bare: (/** @type {any} */ { kty, crv, x, y }) => ({ kty, crv, x, y }),
    key: { name: "ECDSA", namedCurve: "P-256" },
    verify: { name: "ECDSA", hash: "SHA-256" },
  },
};

/**
 * @typedef {object} Expectations
 * @property {string} idToken the compact JWT
 * @property {string} issuer exactly as in the client's configuration
 * @property {string} clientID
 * @property {string} jwksURI from the issuer's metadata
 * @property {string} [nonce] of the request that this answers
 * @property {string} [accessToken] that came with it
 * @property {boolean} [needsAtHash] whether at_hash must be there: yes where the
 *   access token came through the front channel
 * @property {Record<string, any>} [previous] claims of the ID token that this
 *   one renews
 * @property {number} [leeway] seconds by which the two clocks may differ
 * @property {number} [now] epoch seconds
 */

/**
 * Checks an ID token (OpenID Connect Core §3.1.3.7) and returns its claims.
 * It does not check acr or auth_time, since these clients ask for neither.
 * @param {Expectations} expect
 * @returns {Promise<Record<string, any>>}
 */
export async function verifyIDToken(expect) {
  // 1. Three parts, two of them JSON. RFC 7519 §7.2.
  const token = takeApart(expect.idToken);

  // 2. Kind and algorithm, before anything is believed. RFC 8725 §3.1, §3.11.
  const algorithm = checkHeader(token.header);

  // 3. The issuer's key that the header names. OpenID Connect Core §10.1.
  const key = await findKey(token.header, expect.jwksURI, algorithm);

  // 4. Signature. From here on the claims are the issuer's words. §3.1.3.7 (6).
  await checkSignature(token.parts, key, algorithm);

  // 5. Whose token, and for whom. §3.1.3.7 (2) to (5).
  checkParties(token.payload, expect);

  // 6. When. §3.1.3.7 (9), (10).
  checkTimes(token.payload, expect);

  // 7. Made for this browser's own request. §3.1.3.7 (11), renewal: §12.2.
  if (expect.previous) checkRenewal(token.payload, expect.previous);
  else checkNonce(token.payload, expect.nonce);

  // 8. Made together with the access token beside it. §3.1.3.8, §3.2.2.9.
  await checkAccessTokenHash(token.payload, expect);

  return token.payload;
}

/** @param {string} idToken */
function takeApart(idToken) {
  try {
    return decode(idToken);
  } catch (error) {
    throw new FlowError("format", {
      title: "The ID token is no signed JWT",
      expected: "header.payload.signature, the first two JSON objects in base64url",
      arrived: error instanceof Error ? error.message : "something else",
      section: "RFC 7519 §7.2",
    });
  }
}

/** @param {Record<string, any>} header */
function checkHeader(header) {
  // An access token ("at+jwt") of the same issuer and key is no ID token.
  if (header.typ !== undefined && String(header.typ).toUpperCase() !== "JWT") {
    throw new FlowError("typ", { title: "The ID token's type check failed", expected: "typ JWT, or none", arrived: shown(header.typ), section: "RFC 8725 §3.11" });
  }
  if (header.crit !== undefined) {
    throw new FlowError("crit", { title: "The ID token demands an extension that this client does not know", expected: "no crit", arrived: shown(header.crit), section: "RFC 7515 §4.1.11" });
  }
  if (!Object.hasOwn(algorithms, header.alg)) {
    throw new FlowError("alg", {
      title: "The ID token's algorithm check failed",
      expected: Object.keys(algorithms).join(" or "),
      arrived: shown(header.alg),
      section: "OpenID Connect Core §3.1.3.7 (7), RFC 8725 §3.1",
    });
  }
  return algorithms[/** @type {keyof typeof algorithms} */ (header.alg)];
}

/**
 * The keys are fetched for each validation, so that a key which the issuer has
 * rotated in is known and one that it has withdrawn is not.
 * @param {Record<string, any>} header
 * @param {string} jwksURI
 * @param {typeof algorithms[keyof typeof algorithms]} algorithm
 */
async function findKey(header, jwksURI, algorithm) {
  const answer = await requestJSON("The provider's key set", jwksURI);
  if (!answer.ok) throw answerError("The provider's key set", answer);
  const keys = Array.isArray(answer.body?.keys) ? answer.body.keys : [];
  const fitting = keys.filter((/** @type {any} */ jwk) =>
    algorithm.fits(jwk) && (jwk.use ?? "sig") === "sig" && (jwk.alg ?? header.alg) === header.alg);
  // Without kid the key is clear only where there is just one. §10.1.
  const named = header.kid === undefined ? fitting : fitting.filter((/** @type {any} */ jwk) => jwk.kid === header.kid);
  if (named.length !== 1) {
    throw new FlowError("kid", {
      title: "No key of the provider belongs to the ID token",
      expected: `one of ${fitting.map((/** @type {any} */ jwk) => jwk.kid).join(", ") || "no keys for this algorithm"}`,
      arrived: `kid ${shown(header.kid)}`,
      section: "OpenID Connect Core §10.1",
    });
  }
  return named[0];
}

/**
 * @param {string[]} parts
 * @param {any} jwk
 * @param {typeof algorithms[keyof typeof algorithms]} algorithm
 */
async function checkSignature([header, payload, signature], jwk, algorithm) {
  let valid = false;
  try {
    const key = await crypto.subtle.importKey("jwk", algorithm.bare(jwk), algorithm.key, false, ["verify"]);
    valid = await crypto.subtle.verify(algorithm.verify, key, fromBase64url(signature), new TextEncoder().encode(`${header}.${payload}`));
  } catch { /* a broken key or signature is no valid signature */ }
  if (valid) return;
  throw new FlowError("signature", {
    title: "The ID token's signature check failed",
    expected: `a signature by the provider's key ${shown(jwk.kid)}`,
    arrived: "another signature, or changed content",
    section: "OpenID Connect Core §3.1.3.7 (6)",
  });
}

/**
 * @param {Record<string, any>} claims
 * @param {Expectations} expect
 */
function checkParties(claims, { issuer, clientID }) {
  mustEqual("iss", { title: "The ID token's issuer check failed", expected: issuer, arrived: claims.iss, section: "OpenID Connect Core §3.1.3.7 (2)" });

  // This client trusts no other audience, so it must be the only one.
  const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (audience.length !== 1 || audience[0] !== clientID) {
    throw new FlowError("aud", { title: "The ID token's audience check failed", expected: clientID, arrived: shown(claims.aud), section: "OpenID Connect Core §3.1.3.7 (3)" });
  }
  if (claims.azp !== undefined) {
    mustEqual("azp", { title: "The ID token's authorized party check failed", expected: clientID, arrived: claims.azp, section: "OpenID Connect Core §3.1.3.7 (5)" });
  }
  if (typeof claims.sub !== "string" || claims.sub === "") {
    throw new FlowError("sub", { title: "The ID token names no user", expected: "sub", arrived: shown(claims.sub), section: "OpenID Connect Core §2" });
  }
}

/**
 * @param {Record<string, any>} claims
 * @param {Expectations} expect
 */
function checkTimes(claims, { leeway = 30, now = Date.now() / 1000 }) {
  const at = (/** @type {unknown} */ time) => (typeof time === "number" && Math.abs(time) < 8e12 ? new Date(time * 1000).toISOString() : shown(time));
  if (typeof claims.exp !== "number" || claims.exp + leeway <= now) {
    throw new FlowError("exp", { title: "The ID token has expired", expected: `exp after ${at(now - leeway)}`, arrived: at(claims.exp), section: "OpenID Connect Core §3.1.3.7 (9)" });
  }
  if (typeof claims.iat !== "number" || claims.iat - leeway > now) {
    throw new FlowError("iat", {
      title: "The ID token was issued in the future",
      detail: "Either it is forged, or this computer's clock is late.",
      expected: `iat before ${at(now + leeway)}`, arrived: at(claims.iat), section: "OpenID Connect Core §3.1.3.7 (10)",
    });
  }
  if (claims.nbf !== undefined && (typeof claims.nbf !== "number" || claims.nbf - leeway > now)) {
    throw new FlowError("nbf", { title: "The ID token is not valid yet", expected: `nbf before ${at(now + leeway)}`, arrived: at(claims.nbf), section: "RFC 7519 §4.1.5" });
  }
}

/**
 * @param {Record<string, any>} claims
 * @param {string | undefined} nonce
 */
function checkNonce(claims, nonce) {
  mustEqual("nonce", {
    title: "The ID token's nonce check failed",
    detail: "It answers another request than this browser's: an old or a stolen ID token.",
    expected: nonce, arrived: claims.nonce, section: "OpenID Connect Core §3.1.3.7 (11)",
  });
}

/**
 * A renewed ID token speaks of the same user and the same sign-in.
 * @param {Record<string, any>} claims
 * @param {Record<string, any>} previous
 */
function checkRenewal(claims, previous) {
  for (const name of ["iss", "sub"]) {
    mustEqual(name, { title: `The renewed ID token has another ${name}`, expected: previous[name], arrived: claims[name], section: "OpenID Connect Core §12.2" });
  }
  for (const name of ["auth_time", "nonce"]) {
    if (claims[name] === undefined || previous[name] === undefined || claims[name] === previous[name]) continue;
    throw new FlowError(name, { title: `The renewed ID token has another ${name}`, expected: shown(previous[name]), arrived: shown(claims[name]), section: "OpenID Connect Core §12.2" });
  }
}

/**
 * @param {Record<string, any>} claims
 * @param {Expectations} expect
 */
async function checkAccessTokenHash(claims, { accessToken, needsAtHash = false }) {
  if (accessToken === undefined || (claims.at_hash === undefined && !needsAtHash)) return;
  // Both algorithms hash with SHA-256; at_hash is its left half.
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(accessToken));
  mustEqual("at_hash", {
    title: "The access token's hash check failed",
    detail: "The access token is not the one that was issued together with the ID token.",
    expected: toBase64url(hash.slice(0, 16)), arrived: claims.at_hash,
    section: needsAtHash ? "OpenID Connect Core §3.2.2.9" : "OpenID Connect Core §3.1.3.8",
  });
}
