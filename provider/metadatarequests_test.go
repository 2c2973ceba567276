package provider_test

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider/providertest"
)

// The provers of this file are those of where things are and of what may be
// asked for.

// wantStatus checks an answer's status.
func (p *proving) wantStatus(a answer, status int) {
	p.Helper()
	if a.Status != status {
		p.Errorf("answer %d %s, want %d", a.Status, a.Raw, status)
	}
}

// refuses checks that an authorization request gets an error.
func (p *proving) refuses(request params, code string) {
	p.Helper()
	page := providertest.NewBrowser(p.T).Get(authorizeURL(p.op, request))
	if page.Callback == nil {
		p.Fatalf("no redirect but %d at %s", page.Status, page.URL.Path)
	}
	if got := response(p.T, page.Callback).Get("error"); got != code {
		p.Errorf("error %q, want %q", got, code)
	}
}

// cannotRegister checks that no client can ask for any of the values.
func (p *proving) cannotRegister(member string, values ...string) {
	p.Helper()
	for _, value := range values {
		a := register(p.T, p.op, smallest().with(document{member: value}))
		if a.Status != http.StatusBadRequest || a.text("error") != "invalid_client_metadata" {
			p.Errorf("%s %q: %d %s", member, value, a.Status, a.Raw)
		}
	}
}

// only is for what stands in the document once: another value has no meaning.
const only = "there is one"

func endpointProvers() map[string]prover {
	return map[string]prover{
		"issuer": {open: only, works: func(p *proving, value string) {
			if got := get(p.T, value+openIDConfiguration, nil).text("issuer"); got != value {
				p.Errorf("the issuer's document is of %q", got)
			}
			if iss := claimsOf(p.T, tokensFor(p.T, p.op, codeRequest()).text("id_token"))["iss"]; iss != value {
				p.Errorf("ID tokens are of %v", iss)
			}
		}},
		"authorization_endpoint": {open: only, works: func(p *proving, value string) {
			b := providertest.NewBrowser(p.T)
			if b.SignIn(value+"?"+codeRequest().values().Encode(), "alice", "alice").Query().Get("code") == "" {
				p.Error("no code")
			}
		}},
		"pushed_authorization_request_endpoint": {open: only, works: func(p *proving, value string) {
			a := postForm(p.T, value, codeRequest(), nil)
			p.wantStatus(a, http.StatusCreated)
			pushed := params{"client_id": providertest.PublicClient, "request_uri": a.text("request_uri")}
			if got := signIn(p.T, p.op, pushed); !got.Has("code") {
				p.Errorf("response %v", keysOf(got))
			}
		}},
		"token_endpoint": {open: only, works: func(p *proving, value string) {
			p.wantStatus(postForm(p.T, value, params{"grant_type": "client_credentials"}, asWeb), http.StatusOK)
		}},
		"userinfo_endpoint": {open: only, works: func(p *proving, value string) {
			p.wantStatus(get(p.T, value, bearer(tokensFor(p.T, p.op, codeRequest()).text("access_token"))), http.StatusOK)
		}},
		"jwks_uri": {open: only, works: func(p *proving, value string) {
			kid, _ := headerOf(p.T, tokensFor(p.T, p.op, codeRequest()).text("id_token"))["kid"].(string)
			if a := get(p.T, value, nil); kid == "" || !strings.Contains(a.Raw, kid) {
				p.Errorf("no key %q in %s", kid, a.Raw)
			}
		}},
		"introspection_endpoint": {open: only, works: func(p *proving, value string) {
			token := tokensOf(p.T, p.op, providertest.ConfidentialClient, "openid").text("access_token")
			if a := postForm(p.T, value, params{"token": token}, asWeb); a.Body["active"] != true {
				p.Errorf("answer %d %s", a.Status, a.Raw)
			}
		}},
		"revocation_endpoint": {open: only, works: func(p *proving, value string) {
			token := tokensFor(p.T, p.op, codeRequest()).text("access_token")
			p.wantStatus(postForm(p.T, value, params{"token": token, "client_id": providertest.PublicClient}, nil), http.StatusOK)
			p.wantStatus(get(p.T, p.member("userinfo_endpoint"), bearer(token)), http.StatusUnauthorized)
		}},
		"device_authorization_endpoint": {open: only, works: func(p *proving, value string) {
			p.wantStatus(postForm(p.T, value, params{"client_id": deviceClient}, nil), http.StatusOK)
		}},
		"registration_endpoint": {open: only, works: func(p *proving, value string) {
			p.wantStatus(sendJSON(p.T, http.MethodPost, value, smallest(), nil), http.StatusCreated)
		}},
	}
}

func requestProvers() map[string]prover {
	return map[string]prover{
		"scopes_supported": {
			works: func(p *proving, value string) {
				a := tokensFor(p.T, p.op, codeRequest().with(params{"scope": "openid " + value}))
				if !slices.Contains(strings.Fields(a.text("scope")), value) {
					p.Errorf("granted %q", a.text("scope"))
				}
			},
			refused: func(p *proving) {
				a := tokensFor(p.T, p.op, codeRequest().with(params{"scope": "openid unheard-of"}))
				if a.text("scope") != "openid" {
					p.Errorf("granted %q", a.text("scope"))
				}
			},
		},
		"code_challenge_methods_supported": {
			works: func(p *proving, value string) {
				tokensFor(p.T, p.op, codeRequest().with(params{"code_challenge_method": value}))
			},
			refused: func(p *proving) {
				for _, method := range []string{"plain", "S512", ""} {
					p.refuses(codeRequest().with(params{"code_challenge": verifier, "code_challenge_method": method}), "invalid_request")
				}
			},
		},
		"prompt_values_supported": {
			works: func(p *proving, value string) {
				b := providertest.NewBrowser(p.T)
				b.SignIn(authorizeURL(p.op, codeRequest()), "alice", "alice")
				page := b.Get(authorizeURL(p.op, codeRequest().with(params{"prompt": value})))
				place := map[string]string{"none": "/callback", "login": "/login", "select_account": "/login", "consent": "/consent"}[value]
				at := page.URL.Path
				if page.Callback != nil {
					at = page.Callback.Path
				}
				if place == "" || at != place {
					p.Errorf("the browser is at %s, want %q", at, place)
				}
			},
			refused: func(p *proving) { p.refuses(codeRequest().with(params{"prompt": "create"}), "invalid_request") },
		},
		"acr_values_supported": {
			works: func(p *proving, value string) {
				a := tokensFor(p.T, p.op, codeRequest().with(params{"acr_values": value}))
				if acr := claimsOf(p.T, a.text("id_token"))["acr"]; acr != value {
					p.Errorf("acr %v", acr)
				}
			},
			refused: func(p *proving) {
				const bronze = `{"id_token": {"acr": {"essential": true, "value": "bronze"}}}`
				p.refuses(codeRequest().with(params{"claims": bronze}), "unmet_authentication_requirements")
			},
		},
		"display_values_supported": {
			open:  "a wish (OIDC Core §3.1.2.1): others get the page, too",
			works: func(p *proving, value string) { signIn(p.T, p.op, codeRequest().with(params{"display": value})) },
		},
		"ui_locales_supported": {
			open: "a wish (OIDC Core §3.1.2.1): no error is due for others",
			works: func(p *proving, value string) {
				page := providertest.NewBrowser(p.T).Get(authorizeURL(p.op, codeRequest().with(params{"ui_locales": value})))
				if !strings.Contains(page.Body, `lang="`+value+`"`) {
					p.Errorf("the page is in another language:\n%s", page.Body)
				}
			},
		},
		"claims_parameter_supported": {open: only, works: func(p *proving, _ string) {
			request := codeRequest().with(params{"scope": "openid", "claims": `{"id_token": {"email": null}}`})
			if email := claimsOf(p.T, tokensFor(p.T, p.op, request).text("id_token"))["email"]; email != "alice@example.com" {
				p.Errorf("email %v", email)
			}
		}},
		"require_pushed_authorization_requests": {open: only, works: func(p *proving, value string) {
			if value == "true" {
				p.refuses(codeRequest(), "invalid_request")
				return
			}
			signIn(p.T, p.op, codeRequest())
		}},
		"dpop_signing_alg_values_supported": {
			works: func(p *proving, value string) {
				key := dpopKey{value, rpKeys()[jose.SignatureAlgorithm(value)]}
				p.wantStatus(p.boundRequest(key), http.StatusOK)
			},
			refused: func(p *proving) {
				a := p.boundRequest(dpopKey{"RS256", rpKeys()[jose.RS256]})
				wantError(p.T, a, http.StatusBadRequest, "invalid_dpop_proof")
			},
		},
	}
}

// boundRequest asks for a token that is bound to a key.
func (p *proving) boundRequest(key dpopKey) answer {
	p.Helper()
	target := p.member("token_endpoint")
	proof := key.proof(p.T, http.MethodPost, target, "", nil)
	return postForm(p.T, target, params{"grant_type": "client_credentials"}, both(asWeb, withProof(proof)))
}

// unsignedObject is a request object that anybody could have made.
func (p *proving) unsignedObject() string {
	p.Helper()
	return unsigned(base64url(string(encode(p.T, objectMembers(p.op, objectClient)))), "JWT")
}

func objectProvers() map[string]prover {
	byReference := func(p *proving) params {
		p.Helper()
		p.objects.serve(object(p.T, jose.ES256, objectMembers(p.op, objectClient)))
		return codeRequest().with(params{"client_id": objectClient, "request_uri": p.objects.URL + "/object"})
	}
	return map[string]prover{
		"request_parameter_supported": {open: only, works: func(p *proving, _ string) {
			signIn(p.T, p.op, byValue(objectClient, object(p.T, jose.ES256, objectMembers(p.op, objectClient))))
		}},
		"request_uri_parameter_supported": {open: only, works: func(p *proving, _ string) { signIn(p.T, p.op, byReference(p)) }},
		"require_request_uri_registration": {open: only, works: func(p *proving, _ string) {
			p.refuses(byReference(p).with(params{"request_uri": p.objects.URL + "/another"}), "invalid_request_uri")
		}},
		"request_object_signing_alg_values_supported": {
			works: func(p *proving, value string) {
				signIn(p.T, p.op, byValue(objectClient, object(p.T, jose.SignatureAlgorithm(value), objectMembers(p.op, objectClient))))
			},
			refused: func(p *proving) {
				m := map[string]any(objectMembers(p.op, objectClient))
				for name, raw := range map[string]string{
					"none":  p.unsignedObject(),
					"RS512": signed(p.T, jose.RS512, rpKeys()[jose.RS256], "", "oauth-authz-req+jwt", m),
					"HS256": signed(p.T, jose.HS256, []byte(strings.Repeat("k", 32)), "", "oauth-authz-req+jwt", m),
				} {
					p.Logf("request object of %s", name)
					p.refuses(codeRequest().with(byValue(objectClient, raw)), "invalid_request_object")
				}
			},
		},
	}
}
