package provider

import (
	"encoding/json"
	"maps"
	"slices"
)

// metadata returns the provider's metadata document: OpenID Connect Discovery
// 1.0 §3, RFC 8414 §2. One statement for each member, so that each stands alone.
func (p *Provider) metadata() ([]byte, error) {
	doc := map[string]any{}
	p.announceEndpoints(doc)
	p.announceRequests(doc)
	p.announceResponses(doc)
	announceClientAuthentication(doc)
	p.announceLogout(doc)
	return json.Marshal(doc)
}

// announceEndpoints says where things are.
func (p *Provider) announceEndpoints(doc map[string]any) {
	doc["issuer"] = p.issuer
	doc["authorization_endpoint"] = p.issuer + pathAuthorize
	doc["pushed_authorization_request_endpoint"] = p.issuer + pathPushed
	doc["token_endpoint"] = p.issuer + pathToken
	doc["userinfo_endpoint"] = p.issuer + pathUserInfo
	doc["jwks_uri"] = p.issuer + pathJWKS
	doc["introspection_endpoint"] = p.issuer + pathIntrospect
	doc["revocation_endpoint"] = p.issuer + pathRevoke
	doc["device_authorization_endpoint"] = p.issuer + pathDeviceAuth
	doc["end_session_endpoint"] = p.issuer + pathLogout
	if p.registrar.enabled {
		doc["registration_endpoint"] = p.issuer + pathRegister
	}
}

// announceRequests says what may be asked for.
func (p *Provider) announceRequests(doc map[string]any) {
	doc["scopes_supported"] = p.scopes
	doc["response_types_supported"] = responseTypes
	doc["response_modes_supported"] = responseModes
	doc["grant_types_supported"] = append(slices.Clone(grantTypes), "implicit")
	doc["code_challenge_methods_supported"] = []string{"S256"}
	doc["dpop_signing_alg_values_supported"] = proofAlgorithms // RFC 9449 §5.1
	doc["prompt_values_supported"] = promptValues
	doc["require_pushed_authorization_requests"] = p.requests.RequirePushed
	doc["acr_values_supported"] = p.requests.ACRValues
	doc["display_values_supported"] = []string{"page"}
	doc["ui_locales_supported"] = []string{"en"}
	doc["claims_parameter_supported"] = true
	doc["request_parameter_supported"] = true
	doc["request_uri_parameter_supported"] = true
	doc["require_request_uri_registration"] = true
	doc["request_object_signing_alg_values_supported"] = p.requests.objectAlgorithms()
}

// announceResponses says what comes back, and how it is signed.
func (p *Provider) announceResponses(doc map[string]any) {
	var algs []string
	for _, alg := range signingAlgorithms {
		algs = append(algs, string(alg))
	}
	doc["id_token_signing_alg_values_supported"] = algs
	if p.unsignedIDTokens {
		doc["id_token_signing_alg_values_supported"] = append(slices.Clone(algs), algNone)
	}
	doc["userinfo_signing_alg_values_supported"] = algs
	doc["authorization_signing_alg_values_supported"] = algs
	doc["authorization_response_iss_parameter_supported"] = true // RFC 9207 §3
	doc["subject_types_supported"] = subjectTypes
	doc["claims_supported"] = append(slices.Clone(tokenClaims), slices.Sorted(maps.Keys(p.users.claims))...)
	doc["claim_types_supported"] = []string{"normal"}
}

// announceClientAuthentication says how clients authenticate.
func announceClientAuthentication(doc map[string]any) {
	confidential := slices.DeleteFunc(slices.Clone(authMethods), func(m string) bool { return m == authNone })
	for endpoint, methods := range map[string][]string{
		"token": authMethods, "revocation": authMethods, "introspection": confidential,
	} {
		doc[endpoint+"_endpoint_auth_methods_supported"] = methods
		doc[endpoint+"_endpoint_auth_signing_alg_values_supported"] = assertionAlgorithms
	}
}

// announceLogout says how clients hear of the end of a session: Session
// Management §3.3, Front-Channel Logout §3, Back-Channel Logout §2.1.
func (p *Provider) announceLogout(doc map[string]any) {
	doc["check_session_iframe"] = p.issuer + pathCheckSession
	for _, channel := range []string{"frontchannel", "backchannel"} {
		doc[channel+"_logout_supported"] = true
		doc[channel+"_logout_session_supported"] = true // with "sid"
	}
}
