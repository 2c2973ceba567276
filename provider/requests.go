package provider

import (
	"slices"
	"strings"
)

// Requests says what authorization requests may be. The zero value is the
// default.
type Requests struct {
	// ACRValues are the authentication context classes that a login with a
	// password satisfies here (OIDC Core §2, "acr"). The first is what tokens
	// say if a client asks for none. Empty: "urn:oidclab:acr:pwd".
	ACRValues []string `yaml:"acr_values_supported"`
	// RequirePushed takes requests from all clients only if they were pushed
	// (RFC 9126 §5).
	RequirePushed bool `yaml:"require_pushed_authorization_requests"`
	// InsecureUnsignedObjects accepts request objects that are not signed ("alg":
	// "none"). Whoever hands such an object on can change it.
	InsecureUnsignedObjects bool `yaml:"insecure_unsigned_request_objects"`
}

// defaultACR names what a login here is: a password and nothing more.
const defaultACR = "urn:oidclab:acr:pwd"

func (r Requests) withDefaults() Requests {
	r.ACRValues = slices.Clone(r.ACRValues)
	if len(r.ACRValues) == 0 {
		r.ACRValues = []string{defaultACR}
	}
	return r
}

// check: the classes are separated by spaces in acr_values.
func (r *Requests) check() *problem {
	for _, value := range r.ACRValues {
		if value == "" || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return problemf("requests", "acr_values_supported: %q is empty or has spaces or other than ASCII characters", value)
		}
	}
	return nil
}

// checkClient: what a registration says of its requests has to be possible here.
func (r *Requests) checkClient(c *Client) *problem {
	if c.RequestObjectSigningAlg == algNone && !r.InsecureUnsignedObjects {
		return problemf("request_object_signing_alg", "%q is for a provider with insecure_unsigned_request_objects", algNone)
	}
	return nil
}

func (r *Requests) checkClients(clients []Client) error {
	for i, c := range clients {
		if p := r.checkClient(&c); p != nil {
			return p.at("clients", i, "client", c.ID)
		}
	}
	return nil
}

// objectAlgorithms are those of request objects.
func (r *Requests) objectAlgorithms() []string {
	var algs []string
	for _, alg := range requestObjectAlgorithms {
		algs = append(algs, string(alg))
	}
	if r.InsecureUnsignedObjects {
		algs = append(algs, algNone)
	}
	return algs
}
