// Package lab starts everything together: the provider, the clients and the
// resource server, each under an origin of its own, and the home page that
// leads to them. It alone knows all the parties; each of them knows the others
// by URL only.
//
//	party                   layout "hosts", port 8080                          layout "ports"
//	home                    http://lab.localhost:8080                          http://localhost:8080
//	provider                http://op.lab.localhost:8080                       http://localhost:8081
//	implicit                http://implicit.lab.localhost:8080                 http://localhost:8082
//	pkce                    http://pkce.lab.localhost:8080                     http://localhost:8083
//	bff                     http://bff.lab.localhost:8080                      http://localhost:8084
//	frontenddriven          http://frontenddriven.lab.localhost:8080           http://localhost:8085
//	frontenddriven-backend  http://frontenddriven-backend.lab.localhost:8080   http://localhost:8086
//	api                     http://api.lab.localhost:8080                      http://localhost:8087
//
// With [Config.TLS] they are all https, and the certificate is for all
// [HostNames].
//
// Hosts are the default, because browsers separate neither cookies nor sites
// by port: with all parties on one host, each would be sent the cookies of all
// the others.
//
// # Reading order
//
//	registrations.go  the clients as the provider knows them
//	parties.go        who has which origin
//	lab.go            New: what is opened and in which order, and closed again
//	compose.go        each party made from its configuration
//	dispatch.go       which host name leads to whom
//	serve.go          serving, and the end of it
//	secrets.go        the confidential clients' secrets
//	home.go           the home page; its words are in flows.go and home.html
package lab
