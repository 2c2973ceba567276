package storage_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

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
		default:
			field.Set(reflect.ValueOf(storage.DigestOf("x")))
		}
		if c.Empty() {
			t.Errorf("Changes with %s are empty", name)
		}
	}
}
