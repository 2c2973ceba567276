// Package web serves a client's page and the chrome that all pages share: one
// style sheet and a few ES modules, embedded, with no build step.
//
//	path                  what                                     caching
//	/                     web/index.html                           ETag, no-cache
//	/callback             web/index.html                           no-store: its URL holds a code or tokens
//	/silent               web/silent.html, where there is one      no-store, likewise
//	/config.json          Site.Config                              no-store
//	/chrome/…             chrome/… of this package                 ETag, no-cache
//	/anything-else.js     web/anything-else.js                     ETag, no-cache
//
// A page is static HTML; its script fills these elements by id:
//
//	<html lang="en" data-party="frontend">      frontend, backend, api, user, provider, attacker
//	<body data-state="loading">                 → signed-out | signed-in
//	  <header class="bar"><span class="party">PKCE client</span><a id="home">Lab home</a></header>
//	  <main class="page">
//	    <div class="intro"> <h1>, <p class="lede"> </div>
//	    <section class="card"> h2, #who, #error, #notice, <div class="actions"> buttons </div> </section>
//	    …
//	    <aside class="card rail"> h2, <ol id="steps"> </aside>
//	  </main>
//
// Elements with data-when="signed-in" (or "signed-out", "loading") are shown in
// that state only. A button with class "primary" is the one that the page
// wants pressed; there is one per state.
//
// Read next: web.go; chrome/chrome.js (what pages call), chrome/view.js (how
// tokens and tables are drawn), chrome/jwt.js and chrome/idtoken.js (how an ID
// token is decoded and checked in a browser); webtest/, the browser and the lying
// issuer of the tests.
package web
