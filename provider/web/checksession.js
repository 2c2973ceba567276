// The OP iframe of OpenID Connect Session Management 1.0 §3.2: a client's page
// has this one in a frame and asks whether its user is still signed in. It is
// written for old browsers, and makes its own SHA-256: crypto.subtle answers
// later, and is missing on plain http.
(function () {
  "use strict";

  // FIPS 180-4 §4.2.2 and §5.3.3.
  var K = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
  ];
  var H = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
  ];

  function rotate(x, n) { return (x >>> n) | (x << (32 - n)); }

  // compress mixes a block of sixteen words into the state, FIPS 180-4 §6.2.2.
  function compress(state, w) {
    var v = state.slice(), t, a, e;
    for (t = 16; t < 64; t++) {
      a = w[t - 15];
      e = w[t - 2];
      w[t] = (w[t - 16] + w[t - 7] +
        (rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3)) +
        (rotate(e, 17) ^ rotate(e, 19) ^ (e >>> 10))) | 0;
    }
    for (t = 0; t < 64; t++) {
      a = v[0];
      e = v[4];
      var t1 = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + K[t] + w[t];
      var t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      v = [(t1 + t2) | 0, a, v[1], v[2], (v[3] + t1) | 0, e, v[5], v[6]];
    }
    for (t = 0; t < 8; t++) { state[t] = (state[t] + v[t]) | 0; }
  }

  // sha256 returns the hash of a text in UTF-8, as hex.
  function sha256(text) {
    var bytes = unescape(encodeURIComponent(text)) + "\x80";
    var bits = (bytes.length - 1) * 8;
    while (bytes.length % 64 !== 56) { bytes += "\0"; }
    var state = H.slice(), i, j, hex = "";
    for (i = 0; i < bytes.length + 8; i += 64) {
      var block = [];
      for (j = i; j < i + 64 && j < bytes.length; j += 4) {
        block.push((bytes.charCodeAt(j) << 24) | (bytes.charCodeAt(j + 1) << 16) | (bytes.charCodeAt(j + 2) << 8) | bytes.charCodeAt(j + 3));
      }
      if (block.length < 16) { block.push(0, bits); } // no text here has 2^32 bits
      compress(state, block);
    }
    for (i = 0; i < 8; i++) { hex += ("0000000" + (state[i] >>> 0).toString(16)).slice(-8); }
    return hex;
  }

  // browserState is what the provider's cookie says of this browser's session;
  // "" when nobody is signed in.
  function browserState() {
    var name = document.documentElement.getAttribute("data-cookie") + "=";
    var cookies = document.cookie.split("; ");
    for (var i = 0; i < cookies.length; i++) {
      if (cookies[i].indexOf(name) === 0) { return cookies[i].substring(name.length); }
    }
    return "";
  }

  // answer compares a client's session_state with the one that it would get now.
  // The message is the client_id, a space and the session_state, §3.1.
  function answer(message, origin) {
    var space = typeof message === "string" ? message.lastIndexOf(" ") : -1;
    if (space < 1) { return "error"; }
    var client = message.substring(0, space), state = message.substring(space + 1);
    var dot = state.lastIndexOf("."), salt = state.substring(dot + 1);
    if (dot < 1 || salt === "") { return "error"; }
    try {
      return state === sha256(client + " " + origin + " " + browserState() + " " + salt) + "." + salt ? "unchanged" : "changed";
    } catch (e) {
      return "error"; // the message is no text in Unicode
    }
  }

  window.addEventListener("message", function (event) {
    // A page without an origin of its own cannot be answered in confidence.
    if (!event.source || event.source === window || event.origin === "null") { return; }
    event.source.postMessage(answer(event.data, event.origin), event.origin);
  }, false);
})();
