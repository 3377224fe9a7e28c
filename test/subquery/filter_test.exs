defmodule ShapeRouter.Subquery.FilterTest do
  # The filter takes shapes with subqueries; nobody seeds them there, so they are included where their
  # subquery could matter.
  use ExUnit.Case, async: true

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord}
  alias ShapeRouter.Filter

  @table {"public", "todos"}

  test "a shape with a subquery is affected until its set is known" do
    where = %{
      query: "project_id IN (SELECT id FROM projects WHERE owner_id = 5) AND done = false",
      used_refs: %{["project_id"] => :int8, ["done"] => :bool, ["$sublink", "0"] => {:array, :int8}}
    }

    filter = Filter.new(filter: :native)
    filter = Filter.add_shape(filter, "a", %{root_table: @table, where: where})
    plain = %{root_table: @table, where: %{query: "id = 1", used_refs: %{["id"] => :int8}}}
    filter = Filter.add_shape(filter, "b", plain)
    affected = &Filter.affected_shapes(filter, &1)
    record = %{"id" => "1", "project_id" => "7", "done" => "f"}
    assert affected.(%NewRecord{relation: @table, record: record}) == MapSet.new(["a", "b"])
    done = %{record | "done" => "t"}
    assert affected.(%NewRecord{relation: @table, record: done}) == MapSet.new(["b"])
    none = %{record | "project_id" => nil, "id" => "2"}
    assert affected.(%DeletedRecord{relation: @table, old_record: none}) == MapSet.new()
    filter = Filter.remove_shape(filter, "a")
    assert Filter.active_shapes(filter) == ["b"]
  end
end
