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
//	spend.go      codes and refresh tokens are spent once
//	race.go       … by 64 at the same time
//	commit.go     the other preconditions, and all or nothing
//	remove.go     revocation and deletion
//	sweep.go      what expires, and when
//	lifecycle.go  Ping, Close, contexts
//	random.go     random operations give the same answers as Model
//	model*.go     Model, the store that is obviously right
//	fixture.go    records to test with
package storagetest
