package bolt

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/oidclab/oidclab/storage"
)

// Redacted stands where a dump leaves something out.
const Redacted = "[redacted]"

// Dumped is a record in a dump.
type Dumped struct {
	Kind   string `json:"kind"`
	Record any    `json:"record"`
}

// Dump calls do for every record, kind by kind. What could sign, sign in or derive
// a secret is redacted. Digests of codes, tokens and cookies are cut to their first
// characters: they tell records apart, and nobody can look for a token by them.
func (f *File) Dump(do func(Dumped) error) error {
	return f.view(func(t *tx) error {
		return f.each(t, func(k kind, key, stored []byte) error {
			record, _, err := recordOf(k, t.bare(k, stored))
			if err != nil {
				return fmt.Errorf("%s: %w", short(key), err)
			}
			shown, err := redacted(record)
			if err != nil {
				return err
			}
			return do(Dumped{k.String(), shown})
		})
	})
}

// redacted is a record as a dump shows it. Every field that is a digest or bytes
// is dealt with here.
func redacted(record any) (map[string]any, error) {
	hide, cut, replace := []string{}, []string{}, map[string]any{}
	switch r := record.(type) {
	case storage.Key:
		hide = []string{"Material"}
	case storage.Client:
		hide = []string{"SecretHash", "RegistrationToken"}
		replace["Metadata"] = jsonOr(r.Metadata)
	case storage.Grant:
		replace["Claims"] = jsonOr(r.Claims)
	case storage.PushedRequest:
		cut = []string{"ID"}
		replace["Form"] = redactedForm(r.Form)
	case storage.DeviceCode:
		cut, hide = []string{"ID"}, []string{"UserCode"} // who types it in decides
	case storage.Session, storage.Code, storage.AccessToken, storage.RefreshToken, storage.Once:
		cut = []string{"ID"}
	}
	encoded, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	shown := map[string]any{}
	if err := json.Unmarshal(encoded, &shown); err != nil {
		return nil, err
	}
	maps.Copy(shown, replace)
	for _, name := range hide {
		shown[name] = Redacted
	}
	for _, name := range cut {
		digest, _ := shown[name].(string)
		shown[name] = digest[:min(len(digest), base64.RawURLEncoding.EncodedLen(shortDigest))] + "…"
	}
	for name, value := range shown {
		if value == "0001-01-01T00:00:00Z" {
			delete(shown, name) // no time
		}
	}
	return shown, nil
}

// jsonOr is JSON as such, or as text if it is none.
func jsonOr(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	if json.Valid(b) {
		return json.RawMessage(b)
	}
	return string(b)
}

// secretParameters are parameters of authorization requests that prove something.
var secretParameters = []string{"client_secret", "client_assertion", "id_token_hint", "request"}

func redactedForm(form map[string][]string) map[string][]string {
	shown := maps.Clone(form)
	for _, name := range secretParameters {
		if _, there := shown[name]; there {
			shown[name] = []string{Redacted}
		}
	}
	return shown
}
