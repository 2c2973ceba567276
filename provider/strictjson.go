package provider

import (
	"errors"
	"io"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

// errNotOneObject says that a text is no JSON object, or more than one.
var errNotOneObject = errors.New("not one JSON object")

// parseObject reads a JSON object that a stranger wrote. Unlike encoding/json
// it refuses a member that stands twice, which two readers may read in two ways
// (RFC 7515 §4). Numbers stay as they were written.
func parseObject(text string) (map[string]any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.SetNumberType(json.UnmarshalJSONNumber)
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || object == nil {
		return nil, errNotOneObject
	}
	return object, nil
}
