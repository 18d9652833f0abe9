package parley_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

func TestDecodeSet(t *testing.T) {
	for payload, want := range map[string]parley.SetDraft{
		`{"id":"set_00001","key":"tabs","value":["a", "b"],"basedOn":0}`:             {ID: "set_00001", Key: "tabs", Value: []byte(`["a","b"]`)},
		`{"id":"set_00001","key":"draft:cnv_1","value":"你好","basedOn":7}`:            {ID: "set_00001", Key: "draft:cnv_1", Value: []byte(`"你好"`), BasedOn: 7},
		`{"id":"set_00001","key":"mute:cnv-1","value":null,"basedOn":7,"more":true}`: {ID: "set_00001", Key: "mute:cnv-1", Value: []byte(`null`), BasedOn: 7},
	} {
		got, err := parley.DecodeSet([]byte(payload))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", payload, err, diff)
		}
	}
	largest := `"` + strings.Repeat("x", parley.MaxRegisterBytes-2) + `"`
	set := func(value string) string { return `{"id":"set_00001","key":"tabs","value":` + value + `,"basedOn":0}` }
	if _, err := parley.DecodeSet([]byte(set(largest))); err != nil {
		t.Errorf("the largest value: %v", err)
	}
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	for _, value := range []string{
		nested(parley.MaxRegisterDepth), `"` + strings.Repeat("[", 200) + `"`, `{"[":"\"[[{"}`,
		`1.7976931348623157e308`, `[-1e308,1e-999,{"a":"1e999","1e999":0}]`,
	} {
		if d, err := parley.DecodeSet([]byte(set(value))); err != nil || string(d.Value) != value {
			t.Errorf("value %.80s: %v", value, err)
		}
	}
	for value, says := range map[string]string{
		nested(parley.MaxRegisterDepth + 1):             "at most 100 levels",
		`{"a":` + nested(parley.MaxRegisterDepth) + `}`: "at most 100 levels",
		nested(20_000): "at most 100 levels",
		strings.Repeat(`{"":`, 200) + `0` + strings.Repeat("}", 200): "at most 100 levels",
		`1e999`:                        "above 1.8e308",
		`[0,{"a":[-1e999]}]`:           "above 1.8e308",
		`1` + strings.Repeat("0", 400): "above 1.8e308",
	} {
		if _, err := parley.DecodeSet([]byte(set(value))); parley.ErrorOf(err).Code != parley.CodeInvalid || !strings.Contains(err.Error(), says) {
			t.Errorf("value %.80s: %v, want one that says %q", value, err, says)
		}
	}
	for payload, code := range map[string]parley.Code{
		`[]`:                                   parley.CodeInvalid,
		`{"key":"tabs","value":1,"basedOn":0}`: parley.CodeInvalid,
		`{"id":"short","key":"tabs","value":1,"basedOn":0}`:                      parley.CodeInvalid,
		`{"id":"set_00001","value":1,"basedOn":0}`:                               parley.CodeInvalid,
		`{"id":"set_00001","key":"Tabs","value":1,"basedOn":0}`:                  parley.CodeInvalid,
		`{"id":"set_00001","key":"","value":1,"basedOn":0}`:                      parley.CodeInvalid,
		`{"id":"set_00001","key":":cnv_1","value":1,"basedOn":0}`:                parley.CodeInvalid,
		`{"id":"set_00001","key":"draft:","value":1,"basedOn":0}`:                parley.CodeInvalid,
		`{"id":"set_00001","key":"draft:a:b","value":1,"basedOn":0}`:             parley.CodeInvalid,
		`{"id":"set_00001","key":"abcdefghijklmnopq","value":1,"basedOn":0}`:     parley.CodeInvalid,
		`{"id":"set_00001","key":"tabs","basedOn":0}`:                            parley.CodeInvalid,
		`{"id":"set_00001","key":"tabs","value":1}`:                              parley.CodeInvalid,
		`{"id":"set_00001","key":"tabs","value":1,"basedOn":-1}`:                 parley.CodeInvalid,
		`{"id":"set_00001","key":"tabs","value":1,"basedOn":"0"}`:                parley.CodeInvalid,
		`{"id":"set_00001","key":"tabs","value":1,"value":2,"basedOn":0}`:        parley.CodeInvalid,
		`{"id":"set_00001","key":"tabs","value":"\ud800","basedOn":0}`:           parley.CodeInvalid,
		`{"id":"set_00001","id":"set_00002","key":"tabs","value":1,"basedOn":0}`: parley.CodeInvalid,
		set(`"` + strings.Repeat("x", parley.MaxRegisterBytes-1) + `"`):          parley.CodeTooLarge,
	} {
		_, err := parley.DecodeSet([]byte(payload))
		e := parley.ErrorOf(err)
		if e == nil || e.Code != code {
			t.Errorf("%.80s: %v, want %s", payload, err, code)
		}
		if strings.HasPrefix(payload, `{"id":"set_00001",`) && !strings.Contains(payload, "set_00002") && e != nil && e.ID != "set_00001" {
			t.Errorf("%.80s: the refusal is about %q", payload, e.ID)
		}
	}
}

func FuzzDecodeSet(f *testing.F) {
	f.Add([]byte(`{"id":"set_00001","key":"draft:cnv_1","value":{"text":"a"},"basedOn":7}`))
	f.Add([]byte(`{"id":"set_00001","key":"tabs","value":null,"basedOn":0}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		d, err := parley.DecodeSet(payload)
		if err == nil && (len(d.Value) == 0 || len(d.Value) > parley.MaxRegisterBytes || d.BasedOn < 0 || !parley.ValidMessageID(d.ID)) {
			t.Fatalf("%+v", d)
		}
	})
}
