package postgrestest_test

import (
	"testing"

	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

func TestURL(t *testing.T) {
	url := postgrestest.URL(t)
	postgrestest.Exec(t, url, "CREATE TABLE a (b INT)")
	postgrestest.Exec(t, postgrestest.URL(t), "CREATE TABLE a (b INT)")
}

func TestNew(t *testing.T) {
	s := postgrestest.New(t)
	postgrestest.Exec(t, s.URL(), "CREATE TABLE a (b INT)")
	s.Stop(t)
	s.Start(t)
	postgrestest.Exec(t, s.URL(), "INSERT INTO a VALUES (1)")
	s.Kill(t)
	s.Start(t)
	postgrestest.Exec(t, s.URL(), "DELETE FROM a")
}
