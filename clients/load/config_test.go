package load_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/load"
)

func TestConfigIsChecked(t *testing.T) {
	good := startFake(t, nil).config()
	for name, change := range map[string]func(*load.Config){
		"no issuer":         func(c *load.Config) { c.Issuer = "" },
		"issuer of no web":  func(c *load.Config) { c.Issuer = "ftp://op.example" },
		"issuer, secret":    func(c *load.Config) { c.Issuer = strings.Replace(c.Issuer, "://", "://user:s3cret@", 1) },
		"issuer, query":     func(c *load.Config) { c.Issuer += "?tenant=a" },
		"issuer, fragment":  func(c *load.Config) { c.Issuer += "#a" },
		"no user":           func(c *load.Config) { c.Username = "" },
		"no openid":         func(c *load.Config) { c.Scopes = []string{"email"} },
		"no client":         func(c *load.Config) { c.ClientID = "" },
		"no redirect URI":   func(c *load.Config) { c.RedirectURI = "" },
		"no worker":         func(c *load.Config) { c.Concurrency = 0 },
		"fewer than none":   func(c *load.Config) { c.TokenConcurrency = -1 },
		"too many workers":  func(c *load.Config) { c.Concurrency = 1_000_000 },
		"too many others":   func(c *load.Config) { c.TokenConcurrency = 1_000_000 },
		"negative flows":    func(c *load.Config) { c.Flows, c.Duration = -1, time.Millisecond },
		"no end":            func(c *load.Config) { c.Flows = 0 },
		"no end of others":  func(c *load.Config) { c.Operations = nil },
		"no authentication": func(c *load.Config) { c.AuthMethod = "private_key_jwt" },
		"negative time":     func(c *load.Config) { c.Timeout = -1 },
		"no operation":      func(c *load.Config) { c.Operations = []load.Operation{"logout"} },
	} {
		cfg := good
		change(&cfg)
		_, err := load.Run(t.Context(), cfg)
		if wrong, ok := errors.AsType[*load.ConfigError](err); !ok || !errors.Is(err, load.ErrConfig) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.ValueOf(cfg).FieldByName(wrong.Field).IsValid() {
			t.Errorf("%s: there is no field %s", name, wrong.Field)
		}
	}
}
