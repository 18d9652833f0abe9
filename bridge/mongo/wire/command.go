package wire

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// list is the field that holds what a command writes; empty if it is none of those.
func list(command string) string {
	switch command {
	case "insert":
		return "documents"
	case "update":
		return "updates"
	case "delete":
		return "deletes"
	default:
		return ""
	}
}

// describe tells what a client's message asks for; false where it is no command.
func describe(c content) (Command, bool) {
	elements, err := c.body.Elements()
	if err != nil || len(elements) == 0 {
		return Command{}, false
	}
	cmd := Command{Name: elements[0].Key(), Body: c.body}
	if cmd.Name == "isMaster" || cmd.Name == "ismaster" {
		cmd.Name = "hello"
	}
	cmd.Collection, _ = elements[0].Value().StringValueOK()
	cmd.Database, _ = c.body.Lookup("$db").StringValueOK()
	cmd.Documents = len(c.documents(cmd.Name))
	return cmd, true
}

// documents are what a command writes, beside its body or in it.
func (c content) documents(name string) []bson.Raw {
	field := list(name)
	if field == "" {
		return nil
	}
	for _, s := range c.sequences {
		if s.name == field {
			return s.documents
		}
	}
	array, ok := c.body.Lookup(field).ArrayOK()
	if !ok {
		return nil
	}
	values, err := array.Values()
	if err != nil {
		return nil
	}
	documents := make([]bson.Raw, 0, len(values))
	for _, v := range values {
		if d, ok := v.DocumentOK(); ok {
			documents = append(documents, d)
		}
	}
	return documents
}

// without is the command less one of its documents.
func (c content) without(name string, n int) (content, error) {
	field := list(name)
	for i, s := range c.sequences {
		if s.name == field {
			c.sequences = slices.Clone(c.sequences)
			c.sequences[i].documents = slices.Delete(slices.Clone(s.documents), n, n+1)
			return c, nil
		}
	}
	body, err := fields(c.body)
	if err != nil {
		return c, err
	}
	body = set(body, field, slices.Delete(c.documents(name), n, n+1))
	c.body, err = bson.Marshal(body)
	return c, err
}

func fields(r bson.Raw) (d bson.D, err error) { return d, bson.Unmarshal(r, &d) }

// set gives a field of d another value, or adds it.
func set(d bson.D, key string, value any) bson.D {
	for i, e := range d {
		if e.Key == key {
			d[i].Value = value
			return d
		}
	}
	return append(d, bson.E{Key: key, Value: value})
}
