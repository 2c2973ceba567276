package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// registration is a registered client as an answer shows it.
type registration struct {
	record storage.Client
	// token is the registration access token: of a client that comes back, the
	// one it presented.
	token string
	// secret is a secret that was made for this answer, "" if none was. It is
	// told once: the provider keeps a digest only.
	secret string
}

// handleRegistration serves GET, PUT and DELETE /register/{client_id} (RFC 7592).
func (p *Provider) handleRegistration(w http.ResponseWriter, r *http.Request) {
	// 1. The registration access token of this very client. RFC 7592 §2.
	record, token, err := p.authenticateRegistration(r)
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	// 2. Show, replace or delete. RFC 7592 §2.1, §2.2, §2.3.
	switch r.Method {
	case http.MethodPut:
		p.replaceRegistration(w, r, record, token)
	case http.MethodDelete:
		p.deleteRegistration(w, r, record)
	default:
		p.noteUse(r.Context(), record)
		p.writeRegistration(w, r, http.StatusOK, registration{record: record, token: token})
	}
}

// authenticateRegistration returns the client that the path names if the
// request carries its registration access token. All that can be wrong is
// answered the same: nobody learns by trying which clients there are.
func (p *Provider) authenticateRegistration(r *http.Request) (storage.Client, string, error) {
	token := headerToken(r)
	if token == "" {
		return storage.Client{}, "", errNoToken
	}
	record, err := p.store.Client(r.Context(), r.PathValue("client_id"))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return storage.Client{}, "", err
	}
	if err != nil || record.RegistrationToken.IsZero() || !sameDigest(storage.DigestOf(token), record.RegistrationToken) {
		return storage.Client{}, "", refuse(errInvalidToken, check{
			What: "The registration access token is not that of this client, or the client is gone.", Section: rfc("7592", "2"),
		})
	}
	return record, token, nil
}

// replaceRegistration serves PUT: what the document leaves out is as if it had
// never been registered (RFC 7592 §2.2).
func (p *Provider) replaceRegistration(w http.ResponseWriter, r *http.Request, record storage.Client, token string) {
	ctx, work := p.begin(r.Context())
	// 1. The document: the client's own, and nothing in it that is ours to say.
	document, err := registrationDocument(w, r)
	if err == nil {
		err = checkUpdate(document, record)
	}
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	// 2. The same rules as for a new client.
	metadata, err := p.readMetadata(ctx, record.ID, document)
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	// 3. Store it in the place of what was read. Where another change came first,
	//    this one is made anew, on top of that.
	var secret string
	for attempt := 1; ; attempt++ {
		secret, err = p.storeReplacement(ctx, work, &record, metadata)
		if !errors.Is(err, storage.ErrChanged) {
			break
		}
		if attempt == registrationAttempts {
			w.Header().Set("Retry-After", "1")
			err = errKeepsChanging
			break
		}
		if record, err = p.currentRegistration(r, document); err != nil {
			break
		}
	}
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	p.log.InfoContext(ctx, "client registration replaced", "client", record.ID)
	p.writeRegistration(w, r, http.StatusOK, registration{record, token, secret})
}

// registrationAttempts is how often a change of a registration that others overtook
// is tried. Each time one of them succeeded, so as many changes at once all do.
const registrationAttempts = 32

// errKeepsChanging is for who has changed a registration in vain.
var errKeepsChanging = refuse(
	&fosite.RFC6749Error{ErrorField: "temporarily_unavailable", CodeField: http.StatusConflict},
	check{
		What:    "Other requests changed the registration again and again before this one could. Nothing of it is stored. Try again.",
		Section: rfc("7592", "2.2"),
	},
)

// storeReplacement stores metadata in the place of a client's, if the stored
// record is still the one that was read: storage.ErrChanged. It makes the record
// what is stored then, and returns the secret if the client gets one.
func (p *Provider) storeReplacement(ctx context.Context, work *work, record *storage.Client, metadata Client) (secret string, err error) {
	before, err := p.registeredClient(*record)
	if err != nil {
		return "", err
	}
	if wrong := metadata.checkSameSector(&before.Client); wrong != nil {
		return "", wrong.refusal()
	}
	work.onSuccess.RequireClients = []storage.ClientVersion{{ID: record.ID, Version: record.Version}}
	if secret, err = p.writeRecord(record, &metadata, work.now); err != nil {
		return "", err
	}
	work.onSuccess.UpdateClients = []storage.Client{*record}
	return secret, work.commit(ctx)
}

// currentRegistration returns the record as it is by now, if it is still there
// and the document may replace it.
func (p *Provider) currentRegistration(r *http.Request, document jsonObject) (storage.Client, error) {
	record, _, err := p.authenticateRegistration(r)
	if err == nil {
		err = checkUpdate(document, record)
	}
	return record, err
}

// checkUpdate: RFC 7592 §2.2 says what must be in an update and what must not.
func checkUpdate(document jsonObject, record storage.Client) error {
	section := rfc("7592", "2.2")
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, there := document[name]; there {
			return refuse(fosite.ErrInvalidRequest, check{What: name + " must not be in an update.", Section: section})
		}
	}
	var id, secret string
	if json.Unmarshal(document["client_id"], &id) != nil || id != record.ID {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "client_id must be in an update, and be that of the client.", Expected: record.ID, Arrived: printable(id), Section: section,
		})
	}
	if !document.has("client_secret") {
		return nil
	}
	if json.Unmarshal(document["client_secret"], &secret) != nil || record.SecretHash.IsZero() || !sameDigest(storage.DigestOf(secret), record.SecretHash) {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "client_secret in an update is not the current one. A client cannot choose its secret.", Section: section,
		})
	}
	return nil
}

// deleteRegistration serves DELETE. With the client all that was issued to it
// is dead at once: nothing of it is taken any more (remainingParty).
func (p *Provider) deleteRegistration(w http.ResponseWriter, r *http.Request, record storage.Client) {
	ctx, work := p.begin(r.Context())
	work.onSuccess = p.deletion(record.ID)
	if err := work.commit(ctx); err != nil {
		p.registrationError(w, r, err)
		return
	}
	p.log.InfoContext(ctx, "client deleted", "client", record.ID)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(http.StatusNoContent)
}

// writeRegistration answers with a client's registration: RFC 7591 §3.2.1,
// RFC 7592 §3.
func (p *Provider) writeRegistration(w http.ResponseWriter, r *http.Request, status int, made registration) {
	c, err := p.registeredClient(made.record)
	if err != nil {
		p.registrationError(w, r, err)
		return
	}
	var stored jsonObject
	if err := json.Unmarshal(made.record.Metadata, &stored); err != nil {
		p.registrationError(w, r, fmt.Errorf("stored client %s: %w", c.ID, err))
		return
	}
	body := map[string]any{}
	for name, value := range stored {
		body[name] = value // as it is written: a number stays the same number
	}
	body["client_id"] = c.ID
	body["client_id_issued_at"] = made.record.CreatedAt.Unix()
	body["registration_client_uri"] = p.issuer + pathRegister + "/" + c.ID
	body["registration_access_token"] = made.token
	body["scope"] = scopeString(c.scopes)
	if !made.record.SecretHash.IsZero() {
		body["client_secret_expires_at"] = 0 // RFC 7591 §3.2.1: it does not expire
		if !c.secretExpiresAt.IsZero() {
			body["client_secret_expires_at"] = c.secretExpiresAt.Unix()
		}
	}
	if made.secret != "" {
		body["client_secret"] = made.secret
	}
	p.writeJSON(w, status, body)
}

// registrationError answers an error of the registration endpoints, RFC 7591
// §3.2.2; of a token, RFC 6750 §3.
func (p *Provider) registrationError(w http.ResponseWriter, r *http.Request, err error) {
	e := p.protocolError(err)
	if errors.Is(err, storage.ErrNotFound) {
		// Deleted between the look and the write.
		e = protocolError{Status: http.StatusUnauthorized, Code: errInvalidToken.ErrorField, Description: "The client is gone."}
	}
	if e.Status == http.StatusUnauthorized {
		p.bearerError(w, r, e)
		return
	}
	p.tokenError(w, r, err)
}

// handleNoRegistration serves the registration endpoints where registration is
// turned off.
func (p *Provider) handleNoRegistration(w http.ResponseWriter, r *http.Request) {
	p.tokenError(w, r, refuse(&fosite.RFC6749Error{ErrorField: "not_found", CodeField: http.StatusNotFound}, check{
		What: "Registration of clients is turned off at this provider.", Section: rfc("7591", "3"),
	}))
}
