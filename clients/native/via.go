package native

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAnswer bounds what is read of a backend's answer.
const maxAnswer = 1 << 20

// via is a login through a frontend-driven application's backend: the program
// makes state, nonce and verifier and checks state and issuer, as the
// application's page would; the backend redeems the code with its secret,
// verifies the ID token and gives tokens of its own.
type via struct {
	url    string
	client *http.Client
	meta   metadata
}

func (v *via) metadata() metadata { return v.meta }

// discoverVia is step 2: the backend says where its users sign in.
func discoverVia(ctx context.Context, cfg Config) (server, error) {
	if err := checkURL(cfg.Via, cfg.InsecureHTTP); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	v := &via{url: strings.TrimSuffix(cfg.Via, "/"), client: cfg.HTTPClient}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url+"/auth/config", nil)
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	var conf struct {
		metadata
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
	}
	err = v.call(req, &conf)
	if refusal, ok := errors.AsType[*TokenError](err); ok { // nothing is redeemed yet
		return nil, fmt.Errorf("backend %s: it gave no configuration: status %d; is it a frontend-driven application's?", cfg.Via, refusal.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", cfg.Via, err)
	}
	v.meta = conf.metadata
	v.meta.ClientID, v.meta.Scope = conf.ClientID, conf.Scope
	if v.meta.Issuer == "" || v.meta.ClientID == "" {
		return nil, fmt.Errorf("%w: its configuration names no issuer or no client_id", ErrBackend)
	}
	return v, nil
}

// redeem is step 6: the backend gets what it needs to redeem the code, and
// the nonce that the ID token must carry. Steps 7 and 8 are the backend's.
func (v *via) redeem(ctx context.Context, code string, l login) (*Result, error) {
	body, err := json.Marshal(map[string]string{
		"code": code, "code_verifier": l.verifier, "nonce": l.nonce, "redirect_uri": l.redirectURI,
	})
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url+"/auth/exchange", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	var answer struct {
		AccessToken  string         `json:"access_token"`
		RefreshToken string         `json:"refresh_token"`
		TokenType    string         `json:"token_type"`
		Scope        string         `json:"scope"`
		ExpiresIn    int64          `json:"expires_in"`
		User         map[string]any `json:"user"`
	}
	if err := v.call(req, &answer); err != nil {
		return nil, err
	}
	sub, _ := answer.User["sub"].(string)
	if answer.AccessToken == "" || sub == "" {
		return nil, fmt.Errorf("%w: it holds no access token or no user", ErrBackend)
	}
	r := &Result{
		Issuer: v.meta.Issuer, ClientID: v.meta.ClientID, Via: v.url, Subject: sub, Claims: answer.User,
		Tokens: Tokens{Access: answer.AccessToken, Type: cmp.Or(answer.TokenType, "Bearer"), Refresh: answer.RefreshToken, Scope: answer.Scope},
	}
	if answer.ExpiresIn > 0 {
		r.Tokens.Expiry = time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)
	}
	return r, nil
}

// call sends req and decodes the JSON answer into out.
func (v *via) call(req *http.Request, out any) error {
	req.Header.Set("Accept", "application/json")
	resp, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		refusal := &TokenError{Status: resp.StatusCode}
		var oauth struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(data, &oauth) == nil {
			refusal.Code, refusal.Description = oauth.Code, oauth.Description
		}
		return refusal
	}
	return json.Unmarshal(data, out)
}
