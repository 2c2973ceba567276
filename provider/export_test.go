package provider

// Routes returns the methods of each route by its path below the issuer.
func (p *Provider) Routes() map[string]string {
	methods := map[string]string{}
	for _, rt := range p.table() {
		methods[rt.path] = rt.methods
	}
	return methods
}

// SecretID is under what the store has a secret value.
var SecretID = secretID
