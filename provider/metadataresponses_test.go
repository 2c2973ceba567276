package provider_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider/providertest"
)

// The provers of this file are those of what comes back, of how clients
// authenticate and of how they hear of the end of a session.

func responseProvers() map[string]prover {
	return map[string]prover{
		"response_types_supported": {
			works: func(p *proving, value string) {
				got := signIn(p.T, p.op, codeRequest().with(params{"response_type": value}))
				for _, brought := range []struct {
					parameter string
					want      bool
				}{{"code", bringsCode(value)}, {"id_token", bringsIDToken(value)}, {"access_token", bringsToken(value)}} {
					if got.Has(brought.parameter) != brought.want {
						p.Errorf("%s: %v", brought.parameter, got.Has(brought.parameter))
					}
				}
			},
			refused: func(p *proving) {
				for _, value := range []string{"token", "none", "code none", "magic"} {
					p.refuses(codeRequest().with(params{"response_type": value}), "unsupported_response_type")
				}
			},
		},
		"response_modes_supported": {
			works: func(p *proving, value string) { p.answersIn(value) },
			refused: func(p *proving) {
				for _, value := range []string{"web_message", "web_message.jwt", "okp"} {
					p.refuses(codeRequest().with(params{"response_mode": value}), "invalid_request")
				}
			},
		},
		"grant_types_supported": {works: func(p *proving, value string) { p.grants(value) }, refused: func(p *proving) {
			for _, value := range []string{
				"password", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer",
				"urn:ietf:params:oauth:grant-type:token-exchange", "urn:openid:params:grant-type:ciba", "implicit",
			} {
				form := params{"grant_type": value, "username": "alice", "password": "alice", "assertion": "x"}
				wantError(p.T, postForm(p.T, p.member("token_endpoint"), form, asWeb), http.StatusBadRequest, "unsupported_grant_type")
			}
		}},
		"authorization_response_iss_parameter_supported": {open: only, works: func(p *proving, _ string) {
			if iss := signIn(p.T, p.op, codeRequest()).Get("iss"); iss != p.member("issuer") {
				p.Errorf("iss %q", iss)
			}
		}},
		"subject_types_supported": {
			works: func(p *proving, value string) {
				client := map[string]string{"public": providertest.PublicClient, "pairwise": pairwiseClient}[value]
				sub := claimsOf(p.T, tokensOf(p.T, p.op, client, "openid").text("id_token"))["sub"]
				if sub == "" || (sub == aliceSubject) != (value == "public") {
					p.Errorf("sub %v", sub)
				}
			},
			refused: func(p *proving) { p.cannotRegister("subject_type", "ephemeral") },
		},
		"claims_supported": {
			works: func(p *proving, value string) {
				if p.claims("")[value] == nil {
					p.Error("never comes")
				}
			},
			refused: func(p *proving) {
				if got := p.claims(`{"userinfo": {"password_hash": null}, "id_token": {"shoe_size": {"essential": true}}}`); got["password_hash"] != nil || got["shoe_size"] != nil {
					p.Errorf("claims %v", got)
				}
			},
		},
		"claim_types_supported": {
			works: func(p *proving, value string) {
				if email := p.claims("")["email"]; value != "normal" || email != "alice@example.com" {
					p.Errorf("a claim that is %s: %v", value, email)
				}
			},
			refused: func(p *proving) { // OIDC Core §5.6.2: claims of other providers
				if got := p.claims(""); got["_claim_names"] != nil || got["_claim_sources"] != nil {
					p.Errorf("claims that are not normal: %v", got)
				}
			},
		},
		"id_token_signing_alg_values_supported": {
			works: func(p *proving, value string) {
				verified(p.T, p.op, tokensOf(p.T, p.op, "signs-"+value, "openid").text("id_token"), value)
			},
			refused: func(p *proving) { p.cannotRegister("id_token_signed_response_alg", "HS256", "none", "RS512") },
		},
		"userinfo_signing_alg_values_supported": {
			works: func(p *proving, value string) {
				token := tokensOf(p.T, p.op, "signs-"+value, "openid").text("access_token")
				verified(p.T, p.op, get(p.T, p.member("userinfo_endpoint"), bearer(token)).Raw, value)
			},
			refused: func(p *proving) { p.cannotRegister("userinfo_signed_response_alg", "HS256", "RS512") },
		},
		"authorization_signing_alg_values_supported": {
			works: func(p *proving, value string) {
				request := codeRequest().with(params{"client_id": "signs-" + value, "response_mode": "jwt"})
				verified(p.T, p.op, signIn(p.T, p.op, request).Get("response"), value)
			},
			refused: func(p *proving) { p.cannotRegister("authorization_signed_response_alg", "HS256", "none", "RS512") },
		},
	}
}

// answersIn checks that a response to alice stands where a mode says.
func (p *proving) answersIn(mode string) {
	p.Helper()
	place, _, isSigned := strings.Cut(mode, ".jwt")
	if mode == "jwt" {
		place, isSigned = "query", true
	}
	parameter := map[bool]string{true: "response", false: "code"}[isSigned]
	b := providertest.NewBrowser(p.T)
	b.SignIn(authorizeURL(p.op, codeRequest()), "alice", "alice")
	page := b.Get(authorizeURL(p.op, codeRequest().with(params{"response_mode": mode})))
	switch {
	case place == "form_post":
		if page.FormAction() != providertest.RedirectURI || page.Field(parameter) == "" {
			p.Errorf("no form with %s but %d", parameter, page.Status)
		}
	case page.Callback == nil:
		p.Errorf("no redirect but %d", page.Status)
	case !onlyIn(p.T, page.Callback, place).Has(parameter):
		p.Errorf("no %s in the %s: %s", parameter, place, page.Callback)
	}
}

// grants checks that a grant brings a token.
func (p *proving) grants(grantType string) {
	p.Helper()
	target := p.member("token_endpoint")
	var a answer
	switch grantType {
	case "authorization_code":
		a = tokensFor(p.T, p.op, codeRequest())
	case "refresh_token":
		a = postForm(p.T, target, refreshRequest(tokensFor(p.T, p.op, codeRequest()).text("refresh_token")), nil)
	case "client_credentials":
		a = postForm(p.T, target, params{"grant_type": grantType}, asWeb)
	case grantDevice:
		begun := beginDevice(p.T, p.op, "openid")
		decide(p.T, begun, "allow")
		a = postForm(p.T, target, pollRequest(begun), nil)
	case "implicit":
		a.Body = map[string]any{"access_token": signIn(p.T, p.op, codeRequest().with(params{"response_type": "id_token token"})).Get("access_token")}
	}
	if a.text("access_token") == "" {
		p.Errorf("no token: %d %s", a.Status, a.Raw)
	}
}

// claims are all that alice's tokens and userinfo say.
func (p *proving) claims(asked string) map[string]any {
	p.Helper()
	got := signIn(p.T, p.op, codeRequest().with(params{
		"response_type": "code id_token token", "scope": "openid profile email address phone groups", "claims": asked,
	}))
	claims := claimsOf(p.T, got.Get("id_token"))
	maps.Copy(claims, get(p.T, p.member("userinfo_endpoint"), bearer(got.Get("access_token"))).Body)
	return claims
}

func clientProvers() map[string]prover {
	all := map[string]prover{}
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		all[endpoint+"_endpoint_auth_methods_supported"] = prover{
			works: func(p *proving, value string) { p.authenticates(endpoint, value) },
			refused: func(p *proving) {
				p.cannotRegister("token_endpoint_auth_method", "tls_client_auth", "self_signed_tls_client_auth", "magic")
				listed, _ := p.metadata()[endpoint+"_endpoint_auth_methods_supported"].([]any)
				if !slices.Contains(listed, any("none")) {
					a := postForm(p.T, p.member(endpoint+"_endpoint"), params{"token": "x", "client_id": providertest.PublicClient}, nil)
					wantError(p.T, a, http.StatusUnauthorized, "invalid_client")
				}
			},
		}
		all[endpoint+"_endpoint_auth_signing_alg_values_supported"] = prover{
			works: func(p *proving, value string) {
				p.wantStatus(p.asserts(endpoint, jose.SignatureAlgorithm(value)), http.StatusOK)
			},
			refused: func(p *proving) {
				for _, alg := range []jose.SignatureAlgorithm{jose.RS384, jose.RS512, jose.PS384} {
					wantError(p.T, p.asserts(endpoint, alg), http.StatusUnauthorized, "invalid_client")
				}
			},
		}
	}
	return all
}

// atEndpoint is a request that succeeds if its client authenticates.
func (p *proving) atEndpoint(endpoint string, more params, auth func(*http.Request)) answer {
	p.Helper()
	form := params{"token": "x"}
	if endpoint == "token" {
		form = params{"grant_type": "client_credentials"}
	}
	return postForm(p.T, p.member(endpoint+"_endpoint"), form.with(more), auth)
}

func (p *proving) authenticates(endpoint, method string) {
	p.Helper()
	var a answer
	switch method {
	case "client_secret_basic":
		a = p.atEndpoint(endpoint, nil, asWeb)
	case "client_secret_post":
		a = p.atEndpoint(endpoint, params{"client_id": postClient, "client_secret": providertest.ConfidentialSecret}, nil)
	case "client_secret_jwt":
		a = p.asserts(endpoint, jose.HS256)
	case "private_key_jwt":
		a = p.asserts(endpoint, jose.ES256)
	case "none":
		a = p.atEndpoint(endpoint, params{"client_id": providertest.PublicClient}, nil)
		if endpoint == "token" {
			a = tokensFor(p.T, p.op, codeRequest())
		}
	}
	p.wantStatus(a, http.StatusOK)
}

// asserts authenticates by an assertion of an algorithm.
func (p *proving) asserts(endpoint string, alg jose.SignatureAlgorithm) answer {
	p.Helper()
	client, key := keyClient, any(rpKeys()[alg])
	switch alg[:2] {
	case "HS":
		client, key = signingClient, []byte(signingSecret + signingSecret)[:len(signingSecret)]
		if alg == jose.HS512 {
			key = []byte(signingSecret + signingSecret)
		}
	case "RS", "PS":
		key = rpKeys()[jose.RS256]
	}
	assertion := signed(p.T, alg, key, "", "JWT", assertionClaims(p.op, client))
	return p.atEndpoint(endpoint, params{"client_assertion_type": assertionTypeV, "client_assertion": assertion}, nil)
}

func logoutProvers() map[string]prover {
	frontChannel := func(p *proving, _ string) {
		idToken, page := p.signOut(frontClient)
		want := url.Values{"iss": {p.member("issuer")}, "sid": {claimsOf(p.T, idToken)["sid"].(string)}}.Encode()
		if all := elements(p.T, page, "iframe"); len(all) != 1 || all[0]["src"] != "https://front.example/logout?"+want {
			p.Errorf("frames %v", all)
		}
	}
	backChannel := func(p *proving, _ string) {
		idToken, _ := p.signOut(backClient)
		select {
		case token := <-p.told:
			if claims := claimsOf(p.T, token); claims["sid"] == nil || claims["sid"] != claimsOf(p.T, idToken)["sid"] {
				p.Errorf("logout token of session %v", claims["sid"])
			}
		case <-time.After(20 * time.Second):
			p.Error("nobody was told")
		}
	}
	return map[string]prover{
		"end_session_endpoint": {open: only, works: func(p *proving, value string) {
			if page := providertest.NewBrowser(p.T).Get(value); page.Status != http.StatusOK {
				p.Errorf("answer %d", page.Status)
			}
			if _, page := p.signOut(providertest.PublicClient); page.Callback == nil {
				p.Errorf("no way back but %d", page.Status)
			}
		}},
		"check_session_iframe": {open: only, works: func(p *proving, value string) {
			if a := get(p.T, value, nil); a.Status != http.StatusOK || !strings.Contains(a.Raw, "<script") {
				p.Errorf("answer %d %s", a.Status, a.Raw)
			}
			if !signIn(p.T, p.op, codeRequest()).Has("session_state") {
				p.Error("no session_state to ask the frame about")
			}
		}},
		"frontchannel_logout_supported":         {open: only, works: frontChannel},
		"frontchannel_logout_session_supported": {open: only, works: frontChannel},
		"backchannel_logout_supported":          {open: only, works: backChannel},
		"backchannel_logout_session_supported":  {open: only, works: backChannel},
	}
}

// signOut signs alice in at a client and out again.
func (p *proving) signOut(client string) (idToken string, page *providertest.Page) {
	p.Helper()
	b := providertest.NewBrowser(p.T)
	code := b.SignIn(authorizeURL(p.op, online().with(params{"client_id": client})), "alice", "alice").Query().Get("code")
	idToken = redeemFor(p.T, p.op, client, code).text("id_token")
	return idToken, b.Get(p.member("end_session_endpoint") + "?" + goodLogout(idToken).values().Encode())
}
