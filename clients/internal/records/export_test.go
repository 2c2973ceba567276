package records

import bolt "go.etcd.io/bbolt"

// Count returns how many records the file holds, dead ones included.
func Count[T any](r *Records[T]) int {
	n := 0
	_ = r.db.bolt.View(func(tx *bolt.Tx) error {
		n = r.shelf(tx).records.Stats().KeyN
		return nil
	})
	return n
}
