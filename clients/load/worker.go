package load

import (
	"encoding/base64"
	"net/url"
)

// worker runs one operation after the other. What it needs for each it uses again:
// the load generator shares the machine with the server.
type worker struct {
	*exchange
	cfg      *Config
	op       *remote
	agent    *agent
	verifier *verifier
	body     []byte // of a request as the client
	// How the client authenticates: the header, or what follows in the body.
	authorization, credentials string

	held  tokens // to refresh, or to ask about
	tally tally
}

func newWorker(cfg *Config, op *remote, w *wire) *worker {
	e := &exchange{wire: w}
	worker := &worker{
		exchange: e, cfg: cfg, op: op, agent: &agent{exchange: e, cfg: cfg},
		verifier: &verifier{issuer: op.Issuer, clientID: cfg.ClientID, keys: op.keys, signers: map[string]signer{}},
	}
	id, secret := url.QueryEscape(cfg.ClientID), url.QueryEscape(cfg.ClientSecret)
	switch cfg.AuthMethod { // RFC 6749 §2.3.1
	case AuthBasic:
		worker.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	case AuthPost:
		worker.credentials = "&client_id=" + id + "&client_secret=" + secret
	case AuthNone:
		worker.credentials = "&client_id=" + id
	}
	return worker
}
