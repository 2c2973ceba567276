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

// PasswordGate is a view of who has a password hashed.
type PasswordGate struct{ p *Provider }

// PasswordGate returns the provider's.
func (p *Provider) PasswordGate() PasswordGate { return PasswordGate{p} }

// Bound replaces the gate by another one.
func (g PasswordGate) Bound(turns, waiting int) { g.p.users.gate = passwordGateOf(turns, waiting) }

// Occupy takes a turn until leave is called.
func (g PasswordGate) Occupy() (leave func()) {
	gate := g.p.users.gate
	gate.places <- struct{}{}
	gate.turns <- struct{}{}
	return func() { <-gate.turns; <-gate.places }
}

// Inside is how many have a turn or wait for one.
func (g PasswordGate) Inside() int { return len(g.p.users.gate.places) }
