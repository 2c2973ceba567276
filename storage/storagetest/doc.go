// Package storagetest is the contract of storage.Store: what every store must
// do, as tests. A store is not a store before it passes Run.
//
//	func TestStore(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) storage.Store { … })
//	}
//
// # Reading order
//
//	run.go        Run and the list of rules
//	records.go    what goes in comes out
//	zones.go      … as the same instant, whatever the zone of a time
//	spend.go      codes and refresh tokens are spent once
//	use.go        what else is used once, and a session that is required
//	race.go       … by 64 at the same time
//	commit.go     the other preconditions
//	clients.go    what many processes must agree on: clients, keys, consents
//	nothing.go    all or nothing: every way to be refused
//	remove.go     revocation and deletion
//	signout.go    what ends with a session
//	sweep.go      what expires, and when
//	lifecycle.go  Ping, Close, contexts
//	random.go     random operations give the same answers as Model; names.go
//	model*.go     Model, the store that is obviously right
//	fixture.go    records to test with
//	snapshot.go   all that a store holds, to be compared
package storagetest
