package postgrestest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// keeper is the shell that owns a server. It obeys one command a line, and says
// whether it could. At the end of its input, which is also the end of the
// process that has the other end of the pipe, it ends the server and removes
// the directory.
const keeper = `
bin=$1 dir=$2 options=$3
control() { "$bin/pg_ctl" -s -w -t 60 -D "$dir/data" -l "$dir/log" "$@" >>"$dir/log" 2>&1 </dev/null; }
while read -r command; do
	case $command in
	initdb) "$bin/initdb" -D "$dir/data" -U oidclab -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 </dev/null ;;
	start) control -o "$options -k $dir" start ;;
	stop) control -m fast stop ;;
	kill) control -m immediate stop ;;
	esac && echo done || echo failed
done
control -m immediate stop
rm -rf "$dir"
`

// options are the server's. Tests that are about durability say so.
const (
	options = "-c listen_addresses= -c max_connections=200 -c shared_buffers=32MB -c autovacuum=off"
	noSync  = " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
)

// Server is a PostgreSQL server.
type Server struct {
	// url is that of its database "postgres".
	url *url.URL

	dir     string
	input   io.WriteCloser
	answers *bufio.Scanner
}

// launch makes a server's directory and starts it.
func launch(flags string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "oidclab-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{
		dir: dir,
		url: &url.URL{Scheme: "postgres", User: url.User("oidclab"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()},
	}
	if err := s.keep(bin, flags); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for _, command := range []string{"initdb", "start"} {
		if err := s.tell(command); err != nil {
			return nil, errors.Join(err, s.end())
		}
	}
	return s, nil
}

// keep starts the keeper.
func (s *Server) keep(bin, flags string) (err error) {
	cmd := exec.Command("/bin/sh", "-c", keeper, "keeper", bin, s.dir, flags) //nolint:noctx // it ends with its input
	cmd.Dir = s.dir
	if cmd.SysProcAttr, err = unprivileged(s.dir); err != nil {
		return err
	}
	if s.input, err = cmd.StdinPipe(); err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.answers = bufio.NewScanner(output)
	return cmd.Start()
}

// tell gives the keeper a command.
func (s *Server) tell(command string) error {
	if _, err := fmt.Fprintln(s.input, command); err != nil {
		return err
	}
	if s.answers.Scan() && s.answers.Text() == "done" {
		return nil
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Errorf("PostgreSQL: %s failed: %w\n%s", command, errors.Join(s.answers.Err()), log)
}

// end ends the server and waits until its directory is removed.
func (s *Server) end() error {
	err := s.input.Close()
	for s.answers.Scan() {
	}
	return errors.Join(err, s.answers.Err())
}

// URL is the address of a database of the server that is always there.
func (s *Server) URL() string { return s.url.String() }

// Stop ends the server as an administrator does: sessions are cut off, and what
// was committed is on disk.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	s.must(tb, "stop")
}

// Kill ends the server as a crash does.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.must(tb, "kill")
}

// Start starts a server that was ended, at the same address.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	s.must(tb, "start")
}

func (s *Server) must(tb testing.TB, command string) {
	tb.Helper()
	if err := s.tell(command); err != nil {
		tb.Fatal(err)
	}
}

// binaries finds the newest PostgreSQL that is installed. Debian keeps it out of
// the PATH.
func binaries() (string, error) {
	if path, err := exec.LookPath("pg_ctl"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && hasServer(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range dirs {
		if hasServer(dir) {
			return dir, nil
		}
	}
	return "", errors.New("there is no PostgreSQL to test with: install it (Debian: apt-get install postgresql), or set OIDCLAB_POSTGRES to the URL of a server")
}

// hasServer says whether a directory has what it takes to run a server.
func hasServer(dir string) bool {
	return !slices.ContainsFunc([]string{"initdb", "pg_ctl", "postgres"}, func(name string) bool {
		_, err := exec.LookPath(filepath.Join(dir, name))
		return err != nil
	})
}
