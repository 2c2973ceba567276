package provider

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestLongParameters: those with a token or JSON in them may be longer than others, and a
// sealed request has such ones in it.
func TestLongParameters(t *testing.T) {
	for name, most := range map[string]int{
		"state": 4 << 10, "request": 48 << 10,
		"token": 16 << 10, "access_token": 16 << 10, "refresh_token": 16 << 10,
		"id_token_hint": 16 << 10, "client_assertion": 16 << 10, "claims": 16 << 10,
	} {
		value := strings.Repeat("x", most)
		if form, err := parseForm(name + "=" + value); err != nil || form.Get(name) != value {
			t.Errorf("%s of %d bytes: %v", name, most, err)
		}
		if _, err := parseForm(name + "=" + value + "x"); err == nil {
			t.Errorf("%s of %d bytes: no error", name, most+1)
		}
	}
}

// TestLongestQuery: RFC 9110 §15.5.15.
func TestLongestQuery(t *testing.T) {
	var query strings.Builder
	for n := range maxQuery / maxParameter {
		fmt.Fprintf(&query, "&p%02d=%s", n, strings.Repeat("x", maxParameter-len("&p00=")))
	}
	for more, ok := range map[string]bool{"": true, "&": false} {
		r := &http.Request{URL: &url.URL{RawQuery: query.String() + more}}
		if _, err := queryForm(r); (err == nil) != ok {
			t.Errorf("%d bytes: %v", len(r.URL.RawQuery), err)
		}
	}
}

// TestPrintable: a name in a message is short, and text.
func TestPrintable(t *testing.T) {
	for name, want := range map[string]string{
		"state":                       "state",
		strings.Repeat("x", 40):       strings.Repeat("x", 40),
		strings.Repeat("x", 41):       strings.Repeat("x", 40),
		strings.Repeat("é", 41):       strings.Repeat("é", 20),
		"x" + strings.Repeat("é", 41): "x" + strings.Repeat("é", 19) + "?",
		"\xffstate":                   "?state",
	} {
		if got := printable(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
