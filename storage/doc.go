// Package storage says what the provider keeps and what it may rely on: plain
// records, one Store interface and the reasons for which a store refuses. It
// knows no HTTP and no OAuth library.
//
// # Reading order
//
//	records.go   the records
//	storage.go   Store, Changes (a request's unit of work), the errors
//	sweep.go     how a store removes in the background what has expired
//	bolt/        the embedded store, the default
//	postgres/    the store that replicas share
//	internal/ordered  keys and times as bytes, for both
//	storagetest/ the contract that every store passes, and a reference model
//
// # How a code is redeemed exactly once
//
// A request reads what it needs, decides, and collects its writes in one
// Changes. Commit checks the preconditions ("this code is unused") and applies
// the writes in one transaction. Of many requests that redeem the same code
// one finds it unused; every other finds ErrUsed, and the grant is revoked.
//
// # How several processes share a store
//
// What must hold for all of them is in the store, and nowhere else: not only
// what is used once, but also how many clients there are (Changes.ClientLimit),
// whether a client is still what was read of it (Changes.RequireClients), whose
// scripts may call (Store.HasOrigin) and whether the keys are still those that
// were read (Store.KeysVersion). A process keeps copies only of what it asks the
// store about before it relies on them. A consent is added to, not replaced, so
// that two that are given at once are both kept.
package storage
