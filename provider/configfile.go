package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// File is a configuration file. What it leaves out is the caller's to decide:
// a nil list is not an empty one.
type File struct {
	// Issuer is the provider's identifier.
	Issuer string `yaml:"issuer"`
	// Listen is the address to listen on, "127.0.0.1:8080" say.
	Listen string `yaml:"listen"`
	// TLS serves https with a certificate of the local CA; TLSCert and TLSKey
	// are the files of another one.
	TLS     bool   `yaml:"tls"`
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// Data is the directory that keeps the state between runs.
	Data string `yaml:"data"`
	// Store is the URL of the database that keeps it instead, for several
	// replicas.
	Store string `yaml:"store"`
	// Durability is what may become of that state; "" if the file does not say.
	Durability Durability `yaml:"durability"`
	// Explain is Config.Explain; nil if the file does not say.
	Explain *bool `yaml:"explain"`
	// InsecurePrivateAddresses is Config.InsecurePrivateAddresses.
	InsecurePrivateAddresses bool `yaml:"insecure_private_addresses"`
	// InsecureUnsignedIDTokens is Config.InsecureUnsignedIDTokens.
	InsecureUnsignedIDTokens bool `yaml:"insecure_unsigned_id_tokens"`
	// InsecureUnlimitedLoginAttempts is Config.InsecureUnlimitedLoginAttempts.
	InsecureUnlimitedLoginAttempts bool `yaml:"insecure_unlimited_login_attempts"`
	// KeyRotation and KeyLead are those of Config.
	KeyRotation Duration `yaml:"key_rotation"`
	KeyLead     Duration `yaml:"key_lead"`

	// DPoPNonce is Config.DPoPNonce.
	DPoPNonce bool `yaml:"dpop_nonce"`

	// MaxConcurrentRequests is Config.MaxConcurrentRequests.
	MaxConcurrentRequests int `yaml:"max_concurrent_requests"`

	// Requests is Config.Requests.
	Requests Requests `yaml:"requests"`

	Clients   []Client  `yaml:"clients"`
	Users     []User    `yaml:"users"`
	Scopes    []Scope   `yaml:"scopes"`
	Lifetimes Lifetimes `yaml:"lifetimes"`
	// Registration is Config.Registration.
	Registration Registration `yaml:"registration"`
}

// Durability is what may become of the state when the power fails.
type Durability string

const (
	// Durable says that an answer leaves when what it says is on disk.
	Durable Durability = "durable"
	// Ephemeral says that nothing waits for the disk. The end of the process costs
	// nothing, but a power failure can corrupt the store.
	Ephemeral Durability = "ephemeral"
)

// UnmarshalText reads one of the two.
func (d *Durability) UnmarshalText(text []byte) error {
	switch v := Durability(text); v {
	case Durable, Ephemeral:
		*d = v
		return nil
	}
	return fmt.Errorf("%q is neither %q nor %q", text, Durable, Ephemeral)
}

// MarshalText writes it as it is read.
func (d Durability) MarshalText() ([]byte, error) { return []byte(d), nil }

// Config is what the file says, for New. Where the provider is, where it keeps its
// state and whether it explains is the program's to decide, since a flag may say
// otherwise.
func (f *File) Config() Config {
	return Config{
		Clients: f.Clients, Users: f.Users, Scopes: f.Scopes,
		Requests: f.Requests, Lifetimes: f.Lifetimes, Registration: f.Registration, DPoPNonce: f.DPoPNonce,
		KeyRotation: f.KeyRotation, KeyLead: f.KeyLead, MaxConcurrentRequests: f.MaxConcurrentRequests,
		InsecurePrivateAddresses: f.InsecurePrivateAddresses, InsecureUnsignedIDTokens: f.InsecureUnsignedIDTokens,
		InsecureUnlimitedLoginAttempts: f.InsecureUnlimitedLoginAttempts,
	}
}

// ReadConfig reads a configuration file, YAML or JSON. It refuses unknown
// keys, values of the wrong type, and all that New would refuse; the error is
// one line that begins with "name:LINE: ". An empty file is a valid one.
func ReadConfig(r io.Reader, name string) (*File, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	file, err := parseConfig(data)
	if at, ok := errors.AsType[*lineError](err); ok {
		return nil, fmt.Errorf("%s:%d: %w", name, at.line, at.err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// lineError is an error about one line of the file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func lineErrorf(n *yaml.Node, format string, args ...any) error {
	return &lineError{n.Line, fmt.Errorf(format, args...)}
}

func parseConfig(data []byte) (*File, error) {
	// JSON is YAML, but for tabs between values. In valid JSON there are no
	// others: within a string they are escaped.
	if json.Valid(data) {
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}

	// 1. The syntax, and one document only.
	root, err := parseDocument(data)
	if root == nil || err != nil {
		return &File{}, err
	}
	// 2. Generic rules: no key twice, no alias that contains itself.
	var anything any
	if err := root.Decode(&anything); err != nil {
		return nil, yamlError(err)
	}
	// 3. The keys and types of File.
	if err := checkShape(root, fileType, "the configuration"); err != nil {
		return nil, err
	}
	var file File
	if err := root.Decode(&file); err != nil {
		return nil, yamlError(err)
	}
	// 4. What the values mean.
	if err := file.validate(); err != nil {
		if bad, ok := errors.AsType[*invalid](err); ok {
			return nil, &lineError{lineOf(root, bad), err}
		}
		return nil, err
	}
	return &file, nil
}

func (f *File) validate() error {
	if f.Issuer != "" {
		if err := validateIssuer(f.Issuer); err != nil {
			return err
		}
	}
	switch hasCert, hasKey := f.TLSCert != "", f.TLSKey != ""; {
	case f.TLS && (hasCert || hasKey):
		return &invalid{field: "tls", reason: "it is for a certificate of the local CA, tls_cert and tls_key for one of your own: choose one"}
	case hasCert && !hasKey:
		return &invalid{field: "tls_cert", reason: "it needs the certificate's private key in tls_key"}
	case hasKey && !hasCert:
		return &invalid{field: "tls_key", reason: "it needs the certificate that it belongs to in tls_cert"}
	}
	cfg := f.Config()
	return cfg.validateSettings()
}

// parseDocument returns the file's only document, nil if there is none.
func parseDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // an empty file is a valid one
	} else if err != nil {
		return nil, yamlError(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, lineErrorf(&second, "a second document begins here; a configuration is one")
	case !errors.Is(err, io.EOF):
		return nil, yamlError(err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil //nolint:nilnil // as above
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// yamlError turns an error of the YAML package into one line with its number.
func yamlError(err error) error {
	text := err.Error()
	if several, ok := errors.AsType[*yaml.TypeError](err); ok && len(several.Errors) > 0 {
		text = several.Errors[0]
	}
	text, _, _ = strings.Cut(text, "\n")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		var line int
		if _, err := fmt.Sscan(m[1], &line); err == nil {
			return &lineError{line, errors.New(m[2])}
		}
	}
	return errors.New(strings.TrimPrefix(text, "yaml: "))
}

// lineOf finds the line of what is invalid: of its field, else of the entry it
// is in, else of the file's beginning.
func lineOf(root *yaml.Node, bad *invalid) int {
	node := root
	if bad.list != "" {
		if list := valueOf(root, bad.list); list != nil && bad.index < len(list.Content) {
			node = target(list.Content[bad.index])
		}
	}
	return cmp.Or(lineOfKey(node, bad.field), node.Line)
}

// target follows an alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// valueOf returns the value of a key, nil if the mapping does not have it.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return target(mapping.Content[i+1])
		}
	}
	return nil
}

// lineOfKey returns the line on which a key stands, 0 if it does not.
func lineOfKey(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i].Line
		}
	}
	return 0
}
