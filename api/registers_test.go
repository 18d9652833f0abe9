package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

// What one device sets another one reads; the slower one is told what is there.
func TestRegisters(t *testing.T) {
	f := setup(t, nil)
	const path = "/v1/me/registers"
	set := func(id, value string, basedOn int64) map[string]any {
		return map[string]any{"id": id, "key": "draft:cnv_1", "value": value, "basedOn": basedOn}
	}
	if none := decode[api.Registers](t, f.get(t, f.visitor, path)); len(none.Registers) != 0 || none.After != 0 || none.Epoch != f.store.Epoch() {
		t.Errorf("at first %+v", none)
	}
	receipt := decode[api.Receipt](t, f.expect(t, f.post(t, f.visitor, path, set("set_00001", "Dear", 0)), http.StatusOK))
	if receipt.Seq != 1 || receipt.Duplicate {
		t.Errorf("receipt %+v", receipt)
	}
	again := decode[api.Receipt](t, f.expect(t, f.post(t, f.visitor, path, set("set_00001", "Dear", 0)), http.StatusOK))
	if again.Seq != 1 || !again.Duplicate {
		t.Errorf("receipt of the repeat %+v", again)
	}
	var problem struct {
		Code    parley.Code
		ID      string
		Current parley.Register
	}
	answer := f.expect(t, f.post(t, f.visitor, path, set("set_00002", "Hello", 0)), http.StatusConflict)
	if err := json.Unmarshal(answer.body, &problem); err != nil {
		t.Fatal(err)
	}
	if problem.Code != parley.CodeStale || problem.ID != "set_00002" || problem.Current.Version != 1 || string(problem.Current.Value) != `"Dear"` {
		t.Errorf("problem %s", answer.body)
	}
	all := decode[api.Registers](t, f.get(t, f.visitor, path))
	if len(all.Registers) != 1 || all.Registers[0].Version != 1 || all.After != 1 {
		t.Errorf("registers %+v", all)
	}
	if others := decode[api.Registers](t, f.get(t, f.stranger, path)); len(others.Registers) != 0 {
		t.Errorf("a stranger sees %+v", others)
	}
}
