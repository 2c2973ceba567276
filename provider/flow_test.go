package provider_test

import (
	"net/http"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
)

func TestCodeFlow(t *testing.T) {
	op := providertest.Start(t, nil)
	callback := signIn(t, op, codeRequest())
	if callback.Get("state") != "state-0123456789" || callback.Get("iss") != op.URL() {
		t.Errorf("callback: %v", callback)
	}
	tokens := postForm(t, op.URL()+"/token", redeem(callback.Get("code")), nil)
	if tokens.Status != http.StatusOK {
		t.Fatal(tokens.Status, tokens.Raw)
	}
	info := get(t, op.URL()+"/userinfo", bearer(tokens.text("access_token")))
	if info.Status != 200 || info.text("email") != "alice@example.com" {
		t.Error(info.Status, info.Raw)
	}
	again := postForm(t, op.URL()+"/token", refreshRequest(tokens.text("refresh_token")), nil)
	if again.Status != 200 {
		t.Error(again.Raw)
	}
}
