package load

import (
	"encoding/json"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// tokens are what a flow or a refresh brings.
type tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`

	nonce string // of the flow
}

// flow signs in once, as a browser and a client would together.
func (w *worker) flow() (tokens, error) {
	// 1. This flow's secrets. RFC 6749 §10.12, OIDC Core §3.1.2.1, RFC 7636 §4.1.
	state, nonce, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()

	// 2. The authorization request, the login and what else the provider asks,
	//    until it sends the browser back. RFC 6749 §4.1.1, RFC 7636 §4.3.
	query, err := w.agent.signIn(w.op.authorize + "&state=" + state + "&nonce=" + nonce +
		"&code_challenge=" + oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		return tokens{}, err
	}

	// 3. The authorization response. RFC 6749 §4.1.2, RFC 9207 §2.4.
	code, err := w.checkResponse(query, state)
	if err != nil {
		return tokens{}, err
	}

	// 4. The code for tokens. RFC 6749 §4.1.3, RFC 7636 §4.5.
	w.body = append(w.body[:0], "grant_type=authorization_code"...)
	w.body = appendField(w.body, "code", code)
	w.body = appendField(w.body, "redirect_uri", w.cfg.RedirectURI)
	w.body = appendField(w.body, "code_verifier", verifier)
	got, err := w.token("code")
	if err != nil {
		return tokens{}, err
	}

	// 5. The ID token. OIDC Core §3.1.3.7.
	if got.ID == "" {
		return tokens{}, failf("no ID token", "the token response has none")
	}
	got.nonce = nonce
	return got, w.verifier.verify(got.ID, nonce, got.Access, false)
}

// checkResponse returns the code of an authorization response.
func (w *worker) checkResponse(query, state string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", failf("authorization response: malformed", "%v", err)
	}
	iss, given := values["iss"]
	switch {
	case values.Get("state") != state:
		return "", failf("authorization response: wrong state", "it is not the one of this flow")
	case w.op.SendsIssuer && !given:
		return "", failf("authorization response: no iss", "the metadata promises it")
	case given && iss[0] != w.op.Issuer:
		return "", failf("authorization response: wrong iss", "expected %q, got %q", w.op.Issuer, iss[0])
	case values.Get("error") != "":
		return "", failf("authorization refused: "+w.short(values.Get("error")), "%s", w.plain(values.Get("error_description")))
	case values.Get("code") == "":
		return "", failf("authorization response: no code", "")
	}
	return values.Get("code"), nil
}

// token sends w.body to the token endpoint. grant names it in failures.
func (w *worker) token(grant string) (tokens, error) {
	var got tokens
	where := "token (" + grant + ")"
	if err := w.post(w.op.TokenEndpoint, where); err != nil {
		return got, err
	}
	if err := json.Unmarshal(w.response.Body(), &got); err != nil {
		return got, failf("malformed answer of "+where, "%v", err)
	}
	if got.Access == "" || !strings.EqualFold(got.Type, "Bearer") { // RFC 6749 §5.1
		return got, failf("malformed answer of "+where, "token_type %q, or no access_token", got.Type)
	}
	return got, nil
}

// post sends w.body as the client, and wants 200.
func (w *worker) post(endpoint, where string) error {
	request := w.begin("POST", endpoint)
	request.Header.SetContentType(formType)
	request.Header.Set("Accept", "application/json")
	if w.authorization != "" {
		request.Header.Set("Authorization", w.authorization)
	}
	w.body = append(w.body, w.credentials...)
	request.SetBodyRaw(w.body)
	if err := w.do(where); err != nil {
		return err
	}
	if w.response.StatusCode() == 200 {
		return nil
	}
	return w.unexpected(where)
}
