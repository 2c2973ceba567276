// Tokens that are bound to a key of this browser: DPoP, RFC 9449. Whoever has
// such a token, and not the key, has nothing. It is off unless a person turns it
// on; then flow.js sends through here what carries a token, or asks for one.
import { FlowError } from "/chrome/errors.js";
import { requestJSON } from "/chrome/http.js";
import { toBase64url } from "/chrome/jwt.js";

const mode = "oidclab.pkce.dpop";

/** Whether this tab binds its tokens. A reload does not change it. */
export const on = () => sessionStorage.getItem(mode) !== null;

/** @param {boolean} wanted */
export function choose(wanted) {
  if (wanted) sessionStorage.setItem(mode, "on");
  else sessionStorage.removeItem(mode);
}

const bytes = (/** @type {string} */ text) => new TextEncoder().encode(text);
const hash = async (/** @type {string} */ text) => toBase64url(await crypto.subtle.digest("SHA-256", bytes(text)));

// ── The key ──────────────────────────────────────────────────────────────────

/**
 * 1. This site's key, made once. extractable is false, so the browser gives the
 *    private half to no script: it can be used here, and cannot be taken along.
 *    IndexedDB keeps the key itself, not its bytes, and so a reload finds it
 *    again. RFC 9449 §2, §11.4.
 * @returns {Promise<CryptoKeyPair>}
 */
export async function key() {
  const kept = await stored();
  if (kept) return kept;
  const made = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  return stored(made); // another tab may have been first; its key is the one then
}

/**
 * Reads the key from IndexedDB; puts one there if there is none and one is given.
 * @param {CryptoKeyPair} [fresh]
 * @returns {Promise<any>}
 */
async function stored(fresh) {
  const opening = indexedDB.open("oidclab.pkce", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
  try {
    const db = await result(opening);
    const keys = db.transaction("keys", fresh ? "readwrite" : "readonly").objectStore("keys");
    const kept = await result(keys.get("dpop"));
    if (!kept && fresh) await result(keys.add(fresh, "dpop"));
    db.close();
    return kept ?? fresh;
  } catch (error) {
    throw new FlowError("key-store", {
      title: "This browser keeps no key for the page", detail: "DPoP needs IndexedDB, which the browser refused. Sign in without binding the tokens, or allow this site to keep data.",
      arrived: String(error), section: "RFC 9449 §2",
    });
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const result = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** The public half, with the members that RFC 7638 §3.2 hashes, in their order. */
async function publicJWK() {
  const { publicKey } = await key();
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  return { crv, kty, x, y };
}

/** 2. The key's name, which the provider writes into the tokens. RFC 7638 §3, RFC 9449 §6.1. */
export const thumbprint = async () => hash(JSON.stringify(await publicJWK()));

// ── The proof ────────────────────────────────────────────────────────────────

/** The newest nonce of each server that wants one. RFC 9449 §8. */
const nonces = /** @type {Map<string, string>} */ (new Map());

let newest = "";

/** The proof that was sent last, for the page to show. */
export const lastProof = () => newest;

/**
 * 3. A proof: a JWT that says which request it is for, signed with the key in
 *    its own header. It is used once, within a minute. RFC 9449 §4.2.
 * @param {string} method
 * @param {string} address
 * @param {string} [accessToken] what it comes with
 */
async function proof(method, address, accessToken) {
  const { origin, pathname } = new URL(address);
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: await publicJWK() };
  const payload = /** @type {Record<string, unknown>} */ ({
    jti: toBase64url(crypto.getRandomValues(new Uint8Array(16))),
    htm: method,
    htu: origin + pathname, // without query and fragment
    iat: Math.floor(Date.now() / 1000),
  });
  if (accessToken) payload.ath = await hash(accessToken);
  if (nonces.has(origin)) payload.nonce = nonces.get(origin);
  const input = [header, payload].map((part) => toBase64url(bytes(JSON.stringify(part)))).join(".");
  const { privateKey } = await key();
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, bytes(input));
  return `${input}.${toBase64url(signature)}`;
}

// ── The request ──────────────────────────────────────────────────────────────

/**
 * 4. A request with an access token, or for one: as a bearer token (RFC 6750
 *    §2.1), or bound, with a proof (RFC 9449 §5, §7.1). A server that wants a
 *    nonce in the proof says so in its first answer. RFC 9449 §8, §9.
 * @param {string} party who is called, as in requestJSON
 * @param {string} url
 * @param {RequestInit} [init]
 * @param {string} [accessToken]
 */
export async function send(party, url, init = {}, accessToken) {
  const headers = /** @type {Record<string, string>} */ ({ ...init.headers });
  if (accessToken) headers.Authorization = `${on() ? "DPoP" : "Bearer"} ${accessToken}`;
  if (!on()) return requestJSON(party, url, { ...init, headers });
  const { origin } = new URL(url);
  for (let again = true; ; again = false) {
    newest = headers.DPoP = await proof(init.method ?? "GET", url, accessToken);
    const answer = await requestJSON(party, url, { ...init, headers });
    if (answer.nonce) nonces.set(origin, answer.nonce);
    if (!again || answer.body?.error !== "use_dpop_nonce" || !answer.nonce) return answer;
  }
}

/**
 * What a thief could do who has the access token and nothing else: send it as a
 * bearer token. RFC 9449 §7.2.
 * @param {string} url
 * @param {string} accessToken
 */
export const sendWithoutKey = (url, accessToken) => requestJSON("The API", url, { headers: { Authorization: `Bearer ${accessToken}` } });
