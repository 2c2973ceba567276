// Encoding and decoding: base64url, JWTs without any check (idtoken.js checks).

/** @param {string} text base64url without padding (RFC 7515 §2) */
export function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Error("not base64url");
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

/** @param {ArrayBuffer | Uint8Array} bytes */
export function toBase64url(bytes) {
  const binary = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @typedef {{header: Record<string, any>, payload: Record<string, any>, parts: string[]}} Decoded */

/**
 * Takes a compact JWS apart. It proves nothing: anyone can write such a text.
 * @param {string} jwt
 * @returns {Decoded}
 */
export function decode(jwt) {
  const parts = jwt.split(".");
  if (parts.length !== 3) throw new Error(`${parts.length} parts instead of 3`);
  return { header: object(parts[0]), payload: object(parts[1]), parts };
}

/** @param {string} part */
function object(part) {
  const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(fromBase64url(part)));
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("not a JSON object");
  return value;
}

/**
 * Whether a text looks like a JWT, so that a page can show it decoded.
 * @param {string} text
 */
export function isJWT(text) {
  try {
    decode(text);
    return true;
  } catch {
    return false;
  }
}
