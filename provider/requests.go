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
