package load_test

import (
	"testing"

	"github.com/oidclab/oidclab/clients/load"
	"github.com/oidclab/oidclab/provider/providertest"
)

// config fits the default confidential client of a provider of the tests.
func config(issuer string) load.Config {
	return load.Config{
		Issuer: issuer, ClientID: providertest.ConfidentialClient, ClientSecret: providertest.ConfidentialSecret, AuthMethod: load.AuthBasic,
		RedirectURI: providertest.RedirectURI, Username: "alice", Password: "alice", Scopes: []string{"openid"},
		Operations: []load.Operation{load.Flows}, Flows: 6, Concurrency: 2,
	}
}

func TestFlowsAtProvider(t *testing.T) {
	op := providertest.Start(t, nil)
	report, err := load.Run(t.Context(), config(op.URL()))
	if err != nil {
		t.Fatal(err)
	}
	flows := report.Results[0]
	if flows.Done != 6 || flows.Failed != 0 || flows.Rate <= 0 || flows.P50 <= 0 || flows.Max < flows.P99 {
		t.Errorf("got %+v", flows)
	}
}
