package load

import (
	"encoding/json"
	"net/http"
	"strings"
)

// prepare gets the worker what one operation uses up or asks about, if it has none.
// It is not measured.
func (w *worker) prepare(operation Operation) error {
	switch operation {
	case Refresh:
		if w.held.Refresh != "" {
			return nil
		}
		return w.hold(w.flow())
	case Introspection:
		if w.held.Access != "" {
			return nil
		}
		if w.op.offers("client_credentials") {
			return w.hold(w.clientCredentials())
		}
		return w.hold(w.flow())
	}
	return nil
}

func (w *worker) hold(got tokens, err error) error {
	if err != nil {
		return err
	}
	w.held = got
	return nil
}

// once does one operation.
func (w *worker) once(operation Operation) error {
	var err error
	switch operation {
	case Flows:
		_, err = w.flow()
	case Refresh:
		err = w.refresh()
	case ClientCredentials:
		_, err = w.clientCredentials()
	case Introspection:
		err = w.introspect()
	}
	return err
}

// refresh redeems the worker's refresh token, and keeps the next one. RFC 6749 §6,
// OIDC Core §12.
func (w *worker) refresh() error {
	if w.held.Refresh == "" {
		return failf("no refresh token", "of a flow with the scope %s; many providers give one for offline_access only", strings.Join(w.cfg.Scopes, " "))
	}
	w.body = appendField(append(w.body[:0], "grant_type=refresh_token"...), "refresh_token", w.held.Refresh)
	got, err := w.token("refresh")
	if err != nil {
		if status := w.response.StatusCode(); status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			w.held = tokens{} // used, or of no use
		}
		return err
	}
	if got.Refresh == "" {
		got.Refresh = w.held.Refresh // the provider does not rotate them
	}
	got.nonce = w.held.nonce
	w.held = got
	if got.ID == "" {
		return nil // it is optional (OIDC Core §12.2)
	}
	return w.verifier.verify(got.ID, got.nonce, got.Access, true)
}

// clientCredentials is the grant without a user. RFC 6749 §4.4.
func (w *worker) clientCredentials() (tokens, error) {
	w.body = append(w.body[:0], "grant_type=client_credentials"...)
	return w.token("client credentials")
}

// introspect asks about the worker's access token, which is good. RFC 7662 §2.
func (w *worker) introspect() error {
	w.body = appendField(w.body[:0], "token", w.held.Access)
	if err := w.post(w.op.IntrospectionEndpoint, "introspection"); err != nil {
		return err
	}
	var answer struct {
		Active bool `json:"active"`
	}
	if err := json.Unmarshal(w.response.Body(), &answer); err != nil {
		return failf("malformed answer of introspection", "%v", err)
	}
	if !answer.Active {
		w.held = tokens{}
		return failf("introspection: inactive", "of a token that the provider just gave; may this client ask about it?")
	}
	return nil
}
