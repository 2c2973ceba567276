// The page around flow.js: buttons in, what the flow holds out.
import { wireAPI } from "/chrome/api.js";
import { countRenewal, mount, onPress, showError, showHoldings, showIDToken, showSignedIn, showSignedOut, steps } from "/chrome/chrome.js";
import { requestJSON } from "/chrome/http.js";
import * as flow from "./flow.js";

/** Shows what the flow holds now. */
function show() {
  const held = flow.held();
  if (held) showSignedIn({ name: held.user.name, username: held.user.preferred_username, sub: held.user.sub });
  else showSignedOut();
  showIDToken(held ? held.idToken : null);
  showHoldings(holdings());
}

/** @returns {import("/chrome/chrome.js").Holding[]} */
function holdings() {
  const list = /** @type {import("/chrome/chrome.js").Holding[]} */ ([]);
  const held = flow.held();
  if (held) {
    list.push({ what: "application's access token", where: "session storage", value: held.accessToken, expires: held.expires, note: `for the API: ${held.scope}. Scripts on this page can read it.` });
    list.push({ what: "application's refresh token", where: "session storage", value: held.refreshToken, expires: held.refreshExpires, note: "works once, at the backend only. Scripts on this page can read it." });
    list.push({ what: "provider's refresh token", where: "backend", note: "renewed together with the application's; this page never gets it" });
    list.push({ what: "provider's ID token", where: "backend", note: "this page gets it decoded, and whole only as the hint in the logout address" });
    list.push({ what: "client secret", where: "backend", note: "what makes this a confidential client" });
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
    steps.clear();
    await flow.renew(config);
    countRenewal();
  }));
  onPress("signout", thenShow(() => flow.signOut(config)));
  const call = /** @type {import("/chrome/api.js").Call} */ ((path, init) => flow.callAPI(config, path, init).finally(show));
  wireAPI(call, "Sent by this page, with the application's access token in the Authorization header.");
  if (location.pathname === "/callback") await flow.finishSignIn(config);
  else flow.finishSignOut();
}

start().catch(showError).finally(show);
