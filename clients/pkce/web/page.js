// The page around flow.js: buttons in, what the flow holds out.
import { wireAPI } from "/chrome/api.js";
import { countRenewal, mount, onPress, showAPIResult, showError, showHoldings, showIDToken, showNotice, showSignedIn, showSignedOut, steps } from "/chrome/chrome.js";
import { requestJSON } from "/chrome/http.js";
import { decode } from "/chrome/jwt.js";
import { byId, collapsedWire, partsView } from "/chrome/view.js";
import * as dpop from "./dpop.js";
import * as flow from "./flow.js";
import { watchSession } from "./session.js";

/** Shows what the flow holds now. */
async function show() {
  const held = flow.held();
  if (held) showSignedIn({ name: held.user.name, username: held.user.preferred_username, sub: held.claims.sub });
  else showSignedOut();
  showIDToken(held ? held.idToken : null);
  byId("without-key").hidden = !dpop.on();
  showProof();
  showHoldings(await holdings());
}

/** Shows the proof that was sent last, which cannot be sent again. */
function showProof() {
  const proof = dpop.lastProof();
  byId("proof-card").hidden = proof === "";
  if (proof) byId("proof").replaceChildren(collapsedWire(proof), ...partsView(decode(proof)));
}

/** @returns {Promise<import("/chrome/chrome.js").Holding[]>} */
async function holdings() {
  const list = /** @type {import("/chrome/chrome.js").Holding[]} */ ([]);
  const held = flow.held();
  if (held) {
    list.push({ what: "access token", where: "memory", value: held.accessToken, expires: held.expires, note: `allows: ${held.scope}${dpop.on() ? "; only with the key, which its claim cnf names" : ""}` });
    if (held.refreshToken) list.push({ what: "refresh token", where: "memory", value: held.refreshToken, note: `works once${dpop.on() ? ", and only with the key" : ""}; each renewal brings the next` });
    list.push({ what: "ID token", where: "memory", value: held.idToken, expires: held.claims.exp, note: "says who signed in; no API accepts it" });
  }
  if (sessionStorage.getItem(flow.keys.signedIn)) {
    list.push({ what: "sign-in mark", where: "session storage", value: "yes", note: "this tab was signed in, so a reload asks the provider silently; no secret" });
  }
  if (dpop.on()) {
    list.push({ what: "private key", where: "IndexedDB", value: await dpop.thumbprint(), note: "is its thumbprint (jkt). ECDSA P-256, not extractable: this page's scripts can sign with it, and none can read it" });
  }
  const transaction = sessionStorage.getItem(flow.keys.transaction);
  if (transaction) list.push({ what: "sign-in under way", where: "session storage", value: transaction, note: "state, nonce and verifier, until the answer comes" });
  return list;
}

/** @param {() => Promise<unknown>} action shows the flow's state whatever comes of it */
const thenShow = (action) => () => action().finally(show);

async function start() {
  const { body: config } = await requestJSON("This page's own server", "/config.json");
  mount({ home: config.home });
  onPress("signin", thenShow(() => flow.signIn(config)));
  onPress("renew", thenShow(async () => {
    await flow.renew(config);
    countRenewal();
  }));
  onPress("renew-silent", thenShow(async () => {
    await flow.renewSilently(config);
    countRenewal();
  }));
  onPress("signout", thenShow(() => flow.signOut(config)));
  const binds = /** @type {HTMLInputElement} */ (byId("dpop"));
  binds.checked = dpop.on();
  binds.addEventListener("change", () => {
    dpop.choose(binds.checked);
    show().catch(showError);
  });
  onPress("without-key", thenShow(async () => {
    const { status, body } = await dpop.sendWithoutKey(`${config.api}/api/me`, flow.held()?.accessToken ?? "");
    steps.add(`Sent the access token as a bearer token, without the key that it is bound to, answered ${status}`, { spec: "RFC 9449 §7.2", channel: "back" });
    showAPIResult(status, body, "Sent as a thief would send it who has the access token and not the key.");
  }));
  wireAPI((path, init) => flow.callAPI(config, path, init).finally(showProof), "Sent by this page, with the access token in the Authorization header.");
  if (location.pathname === "/callback") await flow.finishSignIn(config);
  else if (!flow.finishSignOut()) showNotice(await flow.restore(config));
  watch(config).catch(showError).finally(show); // it lasts as long as the sign-in
}

/** Watches the session at the provider. @param {import("./flow.js").Config} config */
const watch = (config) => watchSession({
  clientID: config.client_id,
  session: () => flow.held()?.session ?? null,
  renew: () => {
    steps.add("The provider's frame said that the session has changed", { spec: "Session Management §3.1" });
    return flow.renewSilently(config, { anew: false }).finally(show);
  },
  ended: () => {
    flow.forget();
    showNotice("You signed out at the provider. This page noticed by the provider's frame, and has forgotten its tokens.");
  },
  tell: (text) => {
    const place = byId("watch");
    if (place.textContent !== text) place.textContent = text;
  },
});

start().catch(showError).then(show).catch(showError);
