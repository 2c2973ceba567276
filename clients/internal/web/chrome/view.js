// How values, tokens and tables are drawn. Everything is written as text:
// nothing that arrived from outside is ever parsed as HTML.
import { decode, isJWT } from "./jwt.js";
import { timeView } from "./time.js";

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** @param {string} id */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no #${id}`);
  return node;
}

/**
 * A value as it travels: short ones in full; long ones collapsed, the whole one
 * click away; a JWT decoded below it.
 * @param {string} value
 */
export function valueView(value) {
  if (value.length <= 64) return el("code", {}, value);
  const summary = el("summary", {}, el("code", {}, `${value.slice(0, 24)}…`), ` ${value.length} characters`);
  return el("details", {}, summary, isJWT(value) ? tokenView(value) : el("div", { class: "token" }, el("p", { class: "wire" }, value)));
}

/** @param {string} jwt */
function wireView(jwt) {
  const [header, payload, signature] = jwt.split(".");
  return el("p", { class: "wire" },
    el("span", { class: "t-header" }, header), ".",
    el("span", { class: "t-payload" }, payload), ".",
    el("span", { class: "t-signature" }, signature));
}

/**
 * A JWT in three tints, and what its header and payload say.
 * @param {string} jwt
 */
export function tokenView(jwt) {
  const { header, payload } = decode(jwt);
  return el("div", { class: "token" }, wireView(jwt), ...partsView({ header, payload }));
}

/** @param {{header: object, payload: object}} parts */
export function partsView({ header, payload }) {
  return [
    el("p", { class: "part t-header" }, "Header"), claimsTable(header),
    el("p", { class: "part t-payload" }, "Payload"), claimsTable(payload),
  ];
}

/**
 * A compact JWT behind a summary, for a page that already shows it decoded.
 * @param {string} jwt
 */
export function collapsedWire(jwt) {
  const summary = el("summary", {}, `As it travelled: ${jwt.length} characters, `,
    el("span", { class: "t-header" }, "header"), ".", el("span", { class: "t-payload" }, "payload"), ".", el("span", { class: "t-signature" }, "signature"));
  return el("details", {}, summary, el("div", { class: "token" }, wireView(jwt)));
}

/** One line on each claim and header parameter that the lab's tokens carry. */
const meanings = /** @type {Record<string, string>} */ ({
  alg: "signature algorithm (RFC 7515 §4.1.1)",
  kid: "which of the issuer's keys signed (RFC 7515 §4.1.4)",
  typ: "kind of token (RFC 7515 §4.1.9)",
  iss: "who issued it",
  sub: "the user's stable id at this issuer",
  aud: "who may accept it",
  azp: "the client that it was issued to",
  client_id: "the client that it was issued to",
  exp: "not valid from here on",
  nbf: "not valid before",
  iat: "when it was issued",
  auth_time: "when the user last signed in at the provider",
  nonce: "ties it to this browser's request (OIDC Core §3.1.2.1), or a DPoP proof to its server's time (RFC 9449 §8)",
  at_hash: "ties the access token to it (OIDC Core §3.1.3.6)",
  c_hash: "ties the code to it (OIDC Core §3.3.2.11)",
  s_hash: "ties the state to it",
  acr: "how strongly the user was authenticated",
  amr: "by which methods (RFC 8176)",
  jti: "the token's own id",
  sid: "the provider's session (Front-Channel Logout §3)",
  scope: "what it allows",
  cnf: "the key that it is bound to, by its thumbprint jkt (RFC 9449 §6.1)",
  jwk: "the public key that verifies it (RFC 9449 §4.2)",
  htm: "for requests of this method only (RFC 9449 §4.2)",
  htu: "for requests to this URL only (RFC 9449 §4.2)",
  ath: "for this access token only: its SHA-256 (RFC 9449 §4.2)",
});
const moments = new Set(["exp", "nbf", "iat", "auth_time", "updated_at"]);

/** @param {Record<string, any>} claims */
function claimsTable(claims) {
  const rows = Object.entries(claims).map(([name, value]) => {
    const wire = el("td", { class: "wire" }, JSON.stringify(value));
    const meaning = el("td", { class: "muted" });
    if (moments.has(name) && typeof value === "number") meaning.append(timeView(value, { expiry: name === "exp" }), " ");
    if (Object.hasOwn(meanings, name)) meaning.append(meanings[name]);
    return el("tr", {}, el("td", { class: "wire" }, name), wire, meaning);
  });
  return table(["name", "value", "what it says"], rows);
}

/**
 * A table whose rows stack on narrow screens.
 * @param {string[]} headings
 * @param {HTMLElement[]} rows
 */
export function table(headings, rows) {
  const head = el("thead", {}, el("tr", {}, ...headings.map((h) => el("th", { scope: "col" }, h))));
  return el("table", { class: "stack" }, head, el("tbody", {}, ...rows));
}
