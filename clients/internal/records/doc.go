// Package records keeps what a backend must remember between two requests and
// over a restart: sessions, logins under way, notes. It is a typed key-value
// store with expiry on one bbolt file, and it knows no flow.
//
// # The file
//
//	bucket           key                          value
//	NAME             (bolt bucket)                one per Bucket call
//	NAME/records     SHA-256(key)                 expiry (8 bytes) + JSON
//	NAME/expiries    expiry (8 bytes) + SHA-256   empty
//
// A key is often itself a secret (a session id, a state): the file holds only
// its hash, so that whoever reads the file cannot present the key. The values
// are plain JSON; a caller whose values are secret seals them first.
//
// Each method is one transaction. Of many concurrent Take calls for one key
// exactly one gets the record, which is what makes a login's record single-use; of
// many concurrent Add calls exactly one succeeds.
//
// # Reading order
//
//	db.go        Open, Close, the sweep of what has expired
//	records.go   Bucket and the methods on its records
package records
