package postgres

import (
	"slices"
)

// Schema is the version of the tables that this program knows.
func Schema() int64 { return schema }

// SetSerializable makes the store's transactions SERIALIZABLE, as they are in
// CockroachDB.
func (s *Store) SetSerializable() { s.begin = beginCockroach }

// Statements returns the statements that tables have in common.
func Statements() (all []string) {
	for _, t := range tables {
		all = append(all, t.insert, t.upsert, t.remove, t.existing, t.sweep)
	}
	return append(slices.Clone(migrations), append(all, selectExpired)...)
}
