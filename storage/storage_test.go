package storage_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/storage"
)

func TestDigest(t *testing.T) {
	if !(storage.Digest{}).IsZero() || storage.DigestOf("").IsZero() {
		t.Error("only the digest that was not set is zero")
	}
	if storage.DigestOf("a") == storage.DigestOf("b") {
		t.Error("two secrets have one digest")
	}
}

func TestDigestText(t *testing.T) {
	want := storage.DigestOf("abc") // FIPS 180-2, appendix B.1
	text, err := json.Marshal(want)
	if err != nil || string(text) != `"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"` {
		t.Errorf("Marshal: %s, %v", text, err)
	}
	var got storage.Digest
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("Unmarshal: %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{`""`, `"ungW"`, `"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0A"`, `"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"`, `3`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("Unmarshal(%s): no error", bad)
		}
	}
}

// Every field but At makes Changes say something, also one that is added later.
func TestChangesEmpty(t *testing.T) {
	if c := (storage.Changes{At: time.Now()}); !c.Empty() {
		t.Error("a time alone is not empty")
	}
	fields := reflect.TypeFor[storage.Changes]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		if name == "At" {
			continue
		}
		var c storage.Changes
		field := reflect.ValueOf(&c).Elem().Field(i)
		switch field.Kind() {
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
		case reflect.String:
			field.SetString("x")
		case reflect.Int:
			field.SetInt(1)
		default:
			field.Set(reflect.ValueOf(storage.DigestOf("x")))
		}
		if c.Empty() {
			t.Errorf("Changes with %s are empty", name)
		}
	}
}

// What was there comes first, what is new after it, and nothing is shared.
func TestConsentWith(t *testing.T) {
	at := time.Date(2031, time.February, 3, 4, 5, 6, 7, time.UTC)
	id := storage.ConsentID{Subject: "alice", ClientID: "client"}
	before := storage.Consent{
		ConsentID: id, Scopes: append(make([]string, 0, 8), "openid", "email"), Claims: []string{"name"}, UpdatedAt: at,
	}
	more := storage.Consent{Scopes: []string{"phone", "email", "phone"}, Resources: []string{"https://api.example"}, UpdatedAt: at.Add(-1)}
	want := storage.Consent{
		ConsentID: id, Scopes: []string{"openid", "email", "phone"}, Claims: []string{"name"}, Resources: []string{"https://api.example"}, UpdatedAt: at,
	}
	if diff := cmp.Diff(want, before.With(more)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := before.Scopes[:3][2]; got != "" {
		t.Errorf("it was written behind the first's end: %q", got)
	}
	more.UpdatedAt = at.Add(1)
	if got := before.With(more).UpdatedAt; !got.Equal(more.UpdatedAt) {
		t.Errorf("UpdatedAt %v", got)
	}
}
