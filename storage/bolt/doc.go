// Package bolt is the provider's embedded store: a storage.Store in one bbolt
// file, which belongs to one process at a time.
//
// # Reading order
//
//	bolt.go       Options, Open, Close
//	commit.go     what a storage.Changes checks and writes: codes are redeemed here
//	conditions.go its other preconditions: what may be used or may come once
//	remove.go     revocation, sign-out and deletion
//	prepare.go    what is done before the writer has the Changes
//	writer.go     the one goroutine that writes, and how it groups commits
//	failure.go    what becomes of the store when a write fails
//	ping.go       whether it can serve, also when the disk hangs
//	read.go       lookups
//	sweep.go      removal of what has expired
//	buckets.go    keys and values
//	issued.go     what flows write, in one bucket
//	codec.go      records as bytes
//	indexes.go    the expiry index, and those that find records by another name
//	schema.go     the version of the file, and the way from an older one; migrate.go
//	file.go       a file that is looked at: check.go, stats.go, dump.go, compact.go
//	pages.go      its pages, looked at without trust
//	holder.go     which process has the file
//
// # Bucket map
//
//	bucket    key                               value           removed by the sweep
//	issued    T‖grant‖Grant.ID                  end‖Grant         after its ExpiresAt
//	issued    T‖code‖Code.ID                    end‖Code          after its grant's ExpiresAt
//	issued    T‖access‖AccessToken.ID           end‖AccessToken   after its ExpiresAt
//	issued    T‖refresh‖RefreshToken.ID         end‖RefreshToken  after its grant's ExpiresAt
//	issued    T‖session‖Session.ID              end‖Session       after its ExpiresAt
//	issued    T‖sessionclient‖len‖SID‖ClientID  end‖SessionClient after its ExpiresAt
//	issued    T‖sessiongrant‖len‖SID‖Grant.ID   (empty)           with the grant
//	issued    T‖sid‖len‖SID‖Session.ID          (empty)           with the session
//	issued    span                              instant‖kind      when nothing in it expires
//	consent   len‖Subject‖Client                Consent           never
//	client    Client.ID                         Client            never
//	once      Once.ID (32 bytes)                Once              after its ExpiresAt
//	pushed    PushedRequest.ID (32 bytes)       PushedRequest     after its ExpiresAt
//	device    DeviceCode.ID (32 bytes)          DeviceCode        after its ExpiresAt
//	key       Key.ID                            Key               never
//	usercode  DeviceCode.UserCode               DeviceCode.ID     with the device code
//	origin    len‖Origin‖Client.ID              (empty)           with the client
//	expiry    instant‖kind‖span                 (empty)           with the span
//	expiry    instant‖kind‖key                  (empty)           with the record it names
//	meta      "schema"                          version           never
//	meta      "clients"                         how many          never
//	meta      "keysversion"                     commits           never
//
// What flows write is in one bucket, in the order in which the identifiers were made:
// the provider's begin with the time, milliseconds in six bytes, which is T. For pairs
// it is the SID's, for an identifier that begins with no time six bytes of its hash. So
// what a transaction adds is on one page or two at the end of the bucket, and so is the
// code that it redeems. Each in a bucket of its own, eight kinds would change eight
// pages, and as many above them.
//
// The expiry index does not name these records. Five bytes of T are a span, of 256
// milliseconds, and the index has one entry for each span: when, and of what kind, the
// first record in it expires. It changes a few times in the life of a span. The sweep
// goes by the instant that each record carries before it, end, removes what has expired
// in the span, and moves the entry to what expires next. When a record ends early, the
// entry stays where it is; the sweep finds nothing then, and moves it.
//
// Version 1 of the file had neither sessionclient, client, once, pushed, device
// nor the two indexes sessiongrant and usercode, version 2 no index sid, and
// version 3 no index origin and no numbers. Open adds them, in one transaction.
// Version 4 had all records as JSON. Until version 5 every kind had a bucket, named as
// above, with the identifier as the key, and every record an entry in the expiry index.
// To bring a file up to version 6 takes many transactions, lest all of it be in memory.
// What they make is in one more bucket, migration, until the last one: a file that has
// this bucket is one of version 5, and whoever opens it next begins anew. So each of them
// leaves a file that is whole by itself, and of a power failure in their midst nothing has
// to be said but what bbolt promises of each: the file is as before it, or as after it.
//
// The numbers stand there so that they need not be found out: how many clients
// there are, at each registration, and whether the keys have changed, at each
// request for them. The second one counts the commits that have changed keys.
//
// Values are the records of package storage: packed (codec.go) if every flow writes
// them, else as JSON, their Go field names being the names in the file. Strings are
// UTF-8; what is not may come back with U+FFFD in its place. An instant is twelve
// bytes, seconds then nanoseconds, big-endian, so that the expiry bucket is in the order
// of time; kind is one byte, len two. A record whose ExpiresAt is zero, which then is
// its end, is not in the expiry bucket and stays.
//
// Codes and refresh tokens outlive their own ExpiresAt: a spent one that is
// presented again must be recognised for as long as its grant lives (RFC 6749
// §10.5, RFC 9700 §4.14.2).
//
// # How commits are grouped
//
// A durable bbolt transaction costs two disk flushes, whatever it writes. So
// requests do not write for themselves: each hands its Changes to the writer,
// which puts all that are waiting into one transaction and answers them after
// it is on disk. It waits for nobody: a lone commit is written at once. For
// each Changes, phase one checks every precondition and writes nothing, phase
// two writes. So a refused Changes leaves nothing to undo, and its neighbours
// in the transaction do not notice. Later Changes of a transaction see what
// the earlier ones wrote, hence of two that redeem one code, the second finds
// it used. Only an error of the disk fails all Changes of a transaction.
//
// # When a write fails
//
// A full disk costs the Changes that met it, and nothing else: the next ones may
// find space. After any other failure of the disk, or one that left it open which
// state the disk holds, the store writes no more until it is opened again: Commit
// and Ping say so, reads go on. failure.go has the reasons. While the disk hangs, Commit
// waits for it. Ping does not, and says so after a few seconds (ping.go).
//
// # When a record cannot be read
//
// What needs a damaged record fails, and Check has the details. Where a Changes met it in
// phase two, the transaction is done again for the others. The sweep passes it over:
// where removing it would leave behind what finds it, it stays, and counts from then on as
// what never expires, so that the sweep does not come back to it. What goes unread, goes
// damaged as well.
//
// # What survives
//
// What Commit acknowledged survives the death of the process, and, unless NoSync
// was asked for, a power failure. With NoSync the kernel writes pages in its own
// order, so a power failure can leave a file that is neither the old state nor the
// new.
package bolt
