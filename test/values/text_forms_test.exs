defmodule ShapeRouter.Values.TextFormsTest do
  # A term and PostgreSQL's text of the same value are the same value: to `=`, as its text, and to the
  # index that a shape is filed in.
  use ExUnit.Case, async: true

  alias ShapeRouter.Predicate

  @big 12_345_678_901_234_567_890_123
  def decimal(sign \\ 1, coef, exp),
    do: %{__struct__: Decimal, sign: sign, coef: coef, exp: exp}

  def values do
    [
      {:bool, [{true, "t"}, {false, "f"}, {:yes, "yes"}]},
      {:int2, [{-32_768, "-32768"}, {7.0, "7"}, {decimal(42, 0), "42"}]},
      {:int4, [{0, "0"}, {2_147_483_647, "2147483647"}, {decimal(2, 3), "2000"}]},
      {:int8, [{-9_223_372_036_854_775_808, "-9223372036854775808"}, {decimal(-1, 5, 0), "-5"}]},
      {:oid, [{4_294_967_295, "4294967295"}]},
      {:float4, [{0.5, "0.5"}, {3, "3"}, {:NaN, "NaN"}, {0.1, "0.1"}]},
      {:float8,
       [
         {0.1, "0.1"},
         {-0.0, "0"},
         {1.0e300, "1e+300"},
         {:inf, "Infinity"},
         {:"-inf", "-Infinity"}
       ]},
      {:numeric,
       [
         {@big, "12345678901234567890123"},
         {-@big, "-12345678901234567890123"},
         {0.1, "0.1"},
         {5, "5.000"},
         {decimal(15, -1), "1.5"},
         {decimal(-1, 15, -4), "-0.0015"},
         {decimal(-1, 0, -2), "0"},
         {decimal(@big, -10), "1234567890123.4567890123"},
         {decimal(1, 1_500), "1" <> String.duplicate("0", 1_500)},
         {decimal(1, -1_500), "0." <> String.duplicate("0", 1_499) <> "1"},
         {decimal(:NaN, 0), "NaN"},
         {decimal(-1, :inf, 0), "-Infinity"}
       ]},
      {{:numeric, 10, 2}, [{decimal(150, -2), "1.50"}, {1.5, "1.50"}]},
      {:text, [{:open, "open"}, {"", ""}, {"日本", "日本"}]},
      {{:varchar, 5}, [{:abc, "abc"}]},
      {{:bpchar, 5}, [{:abc, "abc  "}, {"abc", "abc  "}]},
      {:name, [{:abc, "abc"}]},
      {{:enum, ["sad", "a b", "true", "null"]},
       [{:sad, "sad"}, {:"a b", "a b"}, {true, "true"}, {:null, "null"}]},
      {:date,
       [
         {~D[2024-02-29], "2024-02-29"},
         {~D[0000-03-15], "0001-03-15 BC"},
         {Date.new!(-43, 3, 15), "0044-03-15 BC"},
         {~D[9999-12-31], "9999-12-31"},
         {:infinity, "infinity"}
       ]},
      {:time, [{~T[23:59:59.999999], "23:59:59.999999"}, {~T[08:00:00], "08:00:00"}]},
      {:timestamp,
       [
         {~N[2024-02-29 12:00:00.5], "2024-02-29 12:00:00.5"},
         {~N[-0043-03-15 12:00:00], "0044-03-15 12:00:00 BC"},
         {~U[2024-02-29 12:00:00Z], "2024-02-29 12:00:00"},
         {~D[2024-02-29], "2024-02-29 00:00:00"}
       ]},
      {:timestamptz,
       [
         {~U[2024-02-29 11:00:00.000001Z], "2024-02-29 12:00:00.000001+01"},
         {berlin(), "2024-02-29 11:00:00+00"},
         {:"-infinity", "-infinity"}
       ]},
      {{:array, :int4},
       [
         {[], "{}"},
         {[1, nil, -3], "{1,NULL,-3}"},
         {[[1, 2], [3, nil]], "{{1,2},{3,NULL}}"},
         {[[[[[[7]]]]]], "{{{{{{7}}}}}}"},
         {["1", 2.0], "{1,2}"}
       ]},
      {{:array, :text},
       [
         {["a", nil, "NULL", "", "b c", "\"\\{},", :open],
          ~S({a,NULL,"NULL","","b c","\"\\{},",open})}
       ]},
      {{:array, :bool}, [{[true, false, nil], "{t,f,NULL}"}]},
      {{:array, :numeric}, [{[@big, 1.5, decimal(1, -2)], "{12345678901234567890123,1.5,0.01}"}]},
      {{:array, :date}, [{[~D[2024-02-29], nil], "{2024-02-29,NULL}"}]},
      {{:array, :timestamptz}, [{[~U[2024-02-29 11:00:00Z]], ~S({"2024-02-29 11:00:00+00"})}]},
      {{:array, {:enum, ["a", "b c"]}}, [{[:a, "b c", nil], ~S({a,"b c",NULL})}]},
      {{:array, :uuid},
       [
         {["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"], "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}
       ]},
      {{:array, :jsonb},
       [{[%{"a" => 1}, nil, "[1]", 2, true], ~S({"{\"a\": 1}",NULL,"[1]",2,true})}]},
      {:jsonb,
       [
         {%{}, "{}"},
         {[], "[]"},
         {%{"a" => [1, 2.5, nil, true, "x\n\"\\\u00011"]},
          ~S({"a": [1, 2.5, null, true, "x\n\"\\\u00011"]})},
         {%{:a => %{b: :c}, 5 => @big}, ~S({"a": {"b": "c"}, "5": 12345678901234567890123})},
         {[1, [2, [%{}]]], "[1, [2, [{}]]]"},
         {5, "5"},
         {@big, "12345678901234567890123"},
         {0.5, "0.5"},
         {1.0e25, "1e25"},
         {true, "true"},
         {:open, ~S("open")},
         {decimal(150, -2), "1.50"},
         {%{d: ~D[2024-02-29], t: ~T[08:00:00.120], n: ~N[2024-02-29 12:00:00]},
          ~S({"d": "2024-02-29", "t": "08:00:00.120", "n": "2024-02-29T12:00:00"})},
         {[~U[2024-02-29 11:00:00.5Z], berlin(), ~N[-0001-01-01 00:00:00]],
          ~S(["2024-02-29T11:00:00.5Z", "2024-02-29T12:00:00+01:00", "-0001-01-01T00:00:00"])},
         {"{\"a\": 1}", "{\"a\": 1}"}
       ]}
    ]
  end

  def berlin do
    %{~U[2024-02-29 12:00:00Z] | time_zone: "Europe/Berlin", utc_offset: 3600, zone_abbr: "CET"}
  end

  test "a term equals its text" do
    for {type, pairs} <- values(), {term, text} <- pairs do
      columns = [c: type]
      predicate = Predicate.compile!("c = $1", columns: columns, params: [text])
      assert Predicate.eval(predicate, %{c: text}) == true, inspect({type, text})
      assert Predicate.eval(predicate, %{c: term}) == true, inspect({type, term, text})
    end
  end

  test "a term is filed where its text is" do
    for {type, pairs} <- values(), {term, text} <- pairs do
      {:ok, router} = ShapeRouter.new("t", "x", columns: [c: type])
      :ok = ShapeRouter.add_shape(router, 1, "c = $1", :unknown, params: [text])
      :ok = ShapeRouter.add_shape(router, 2, "c IS NULL")
      :ok = ShapeRouter.add_shape(router, 3, "c <> $1", :unknown, params: [text])
      change = &%{op: :insert, new_record: &1}
      assert ShapeRouter.route(router, change.(%{c: term})) == [1], inspect({type, term, text})
      assert ShapeRouter.route(router, change.(%{"c" => text})) == [1], inspect({type, text})
      assert ShapeRouter.metrics(router)["eval_errors"] == 0
    end
  end

  test "json keeps its text" do
    predicate =
      Predicate.compile!("c::text = $1", columns: [c: :json], params: [~S({"a":[1.0,null]})])

    assert Predicate.eval(predicate, %{c: %{"a" => [1.0, nil]}}) == true
  end

  test "random arrays equal their text" do
    :rand.seed(:exsss, seed())

    for _ <- 1..300 do
      {rows, columns} = {:rand.uniform(4), :rand.uniform(4)}
      array = for _ <- 1..rows, do: for(_ <- 1..columns, do: Enum.random([nil, text()]))
      elements = fn items -> Enum.map_join(items, ",", &quoted/1) end
      text = "{" <> Enum.map_join(array, ",", &"{#{elements.(&1)}}") <> "}"
      predicate = Predicate.compile!("c = $1", columns: [c: {:array, :text}], params: [text])
      assert Predicate.eval(predicate, %{c: array}) == true, inspect({array, text})
      # As a parameter the list is the same array.
      predicate = Predicate.compile!("c = $1", columns: [c: {:array, :text}], params: [array])
      assert Predicate.eval(predicate, %{c: text}) == true, inspect({array, text})
    end
  end

  defp seed do
    seed = :erlang.unique_integer([:positive]) + System.os_time()
    IO.puts("random arrays: seed #{seed}")
    seed
  end

  defp text,
    do:
      for(
        _ <- 1..:rand.uniform(5),
        into: "",
        do: Enum.random(~w(a " \\ { } ä NULL) ++ [" ", ","])
      )

  defp quoted(nil), do: "NULL"
  defp quoted(text), do: "\"" <> String.replace(text, ["\\", "\""], &("\\" <> &1)) <> "\""

  test "a map as a parameter is a document" do
    predicate = Predicate.compile!("c @> $1", columns: [c: :jsonb], params: [%{"a" => [1]}])
    assert Predicate.eval(predicate, %{c: %{a: [1, 2]}}) == true
    assert Predicate.eval(predicate, %{c: %{a: [2]}}) == false
  end

  test "a deep document is read without a deep stack" do
    deep = Enum.reduce(1..10_000, 1, fn _, inner -> [inner] end)
    predicate = Predicate.compile!("jsonb_typeof(c) = 'array'", columns: [c: :jsonb])
    assert Predicate.eval(predicate, %{c: deep}) == true
    deeper = Enum.reduce(1..1_000_000, 1, fn _, inner -> %{a: inner} end)
    assert {:error, %{code: :unreadable_value}} = Predicate.eval(predicate, %{c: deeper})
  end
end
