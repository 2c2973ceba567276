// Package storage says what the provider keeps and what it may rely on: plain
// records, one Store interface and the reasons for which a store refuses. It
// knows no HTTP and no OAuth library.
//
// # Reading order
//
//	records.go   the records
//	storage.go   Store, Changes (a request's unit of work), the errors
//	bolt/        the embedded store, the default
//	storagetest/ the contract that every store passes, and a reference model
//
// # How a code is redeemed exactly once
//
// A request reads what it needs, decides, and collects its writes in one
// Changes. Commit checks the preconditions ("this code is unused") and applies
// the writes in one transaction. Of many requests that redeem the same code
// one finds it unused; every other finds ErrUsed, and the grant is revoked.
package storage
