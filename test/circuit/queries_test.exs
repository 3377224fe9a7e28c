defmodule ShapeRouter.Circuit.QueriesTest do
  @moduledoc "Groups, sets, windows and queries within queries: what a batch of changes tells of each."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits, only: [step!: 2, view!: 3, view!: 4]

  alias ShapeRouter.{Circuit, Error}

  @tables [
    sales: [
      columns: [
        id: :int8,
        shop: :text,
        amount: :int4,
        price: :numeric,
        rate: :float8,
        paid: :bool,
        day: :date
      ],
      primary_key: [:id]
    ],
    shops: [columns: [name: :text, city: :text, rank: :int4], primary_key: [:name]]
  ]

  @nothing %{shop: nil, amount: nil, price: nil, rate: nil, paid: nil, day: nil}

  defp sale(id, values), do: {:create, "sales", id, Map.merge(@nothing, Map.new(values))}
  defp shop(name, city, rank), do: {:create, "shops", name, %{city: city, rank: rank}}

  # Two shops that sell, one that does not, and a sale of no shop.
  defp loaded do
    [
      sale(1, shop: "a", amount: 3, price: "1.50", rate: 1.5, paid: true, day: "2024-01-01"),
      sale(2, shop: "a", amount: 3, price: "2.5", rate: 0.25, day: "2024-02-01"),
      sale(3, shop: "b", paid: false),
      sale(4, amount: 7, price: "1.5", rate: 2.0, paid: true, day: "2024-01-01"),
      shop("a", "Ulm", 3),
      shop("b", "Bonn", 7),
      shop("c", "Ulm", 3)
    ]
  end

  # What undoes operations that were applied to these rows.
  defp undone(operations, rows) do
    {undone, _rows} =
      Enum.reduce(operations, {[], rows}, fn operation, {undone, rows} ->
        {:create, table, id, record} = back(operation, rows)

        case operation do
          {:create, _, _, record} ->
            {[{:delete, table, id} | undone], Map.put(rows, {table, id}, record)}

          {:delete, _, _} ->
            {[{:create, table, id, record} | undone], Map.delete(rows, {table, id})}

          {:update, _, _, changes} ->
            {[{:update, table, id, record} | undone],
             Map.put(rows, {table, id}, Map.merge(record, changes))}
        end
      end)

    undone
  end

  defp back({:create, table, id, record}, _rows), do: {:create, table, id, record}
  defp back({:delete, table, id}, rows), do: {:create, table, id, rows[{table, id}]}
  defp back({:update, table, id, _changes}, rows), do: {:create, table, id, rows[{table, id}]}

  defp rows!(circuit, view), do: circuit |> Circuit.rows(view) |> elem(1)

  # The records that lead from the one to the other.
  defp difference(before, now) do
    {before, now} = {Map.new(before), Map.new(now)}

    for id <- Enum.uniq(Map.keys(before) ++ Map.keys(now)), before[id] != now[id] do
      case {before[id], now[id]} do
        {nil, row} -> %{event: :created, id: id, record: row}
        {row, nil} -> %{event: :deleted, id: id, record: row}
        {_, row} -> %{event: :updated, id: id, record: row}
      end
    end
  end

  # Registers the query, applies the operations, and gives the rows before, the records that were told, and
  # the rows after. All that is said on the way must agree: the records lead from rows to rows, ids and hash
  # are those of the rows, a streaming view tells the same, a view registered afterwards has the same rows and
  # hash, and the operations undone bring rows and hash back.
  defp told(sql, operations) do
    {:ok, circuit} = Circuit.new(tables: @tables)
    step!(circuit, loaded())
    first = view!(circuit, :flat, sql)
    assert %{records: told_first} = view!(circuit, :streaming, sql, format: :streaming)
    assert told_first == first.records
    before = rows!(circuit, :flat)
    assert agrees?(first.records, difference([], before))

    updates = step!(circuit, operations)
    now = rows!(circuit, :flat)

    records =
      case updates do
        [] ->
          assert now == before
          assert Circuit.hash(circuit, :flat) == {:ok, first.hash}
          []

        [flat, streaming] ->
          assert {flat.view_id, flat.format} == {:flat, :flat}
          assert {streaming.view_id, streaming.hash, streaming.ids} == {:streaming, nil, nil}
          assert streaming.records == flat.records
          # A row that only has another place among the others is updated to what it was.
          moved = for %{event: :updated} = r <- flat.records, {r.id, r.record} in before, do: r
          assert moved == [] or (now != before and Enum.sort(now) == Enum.sort(before))
          assert agrees?(flat.records -- moved, difference(before, now))
          assert Circuit.ids(circuit, :flat) == {:ok, flat.ids}
          assert Enum.sort(flat.ids) == now |> Enum.map(&elem(&1, 0)) |> Enum.sort()
          assert Circuit.hash(circuit, :flat) == {:ok, flat.hash}
          assert flat.hash != first.hash
          flat.records
      end

    again = view!(circuit, :again, sql)
    assert Circuit.hash(circuit, :flat) == {:ok, again.hash}
    assert rows!(circuit, :again) == now

    rows = for {:create, table, id, record} <- loaded(), into: %{}, do: {{table, id}, record}
    step!(circuit, undone(operations, rows))
    assert rows!(circuit, :flat) == before
    assert Circuit.hash(circuit, :flat) == {:ok, first.hash}

    for view <- [:flat, :streaming, :again], do: :ok = Circuit.unregister(circuit, view)
    assert {:ok, %{nodes: 0, arrangements: 0}} = Circuit.stats(circuit)
    {before, records, now}
  end

  defp agrees?(told, difference), do: Enum.sort(told) == Enum.sort(difference)

  # Rows of one column.
  defp column(rows), do: for({_id, row} <- rows, do: row |> Map.values() |> hd())

  # Of one column too: what became of each row.
  defp events(records),
    do: for(r <- records, do: {r.event, r.id, r.record |> Map.values() |> hd()})

  describe "GROUP BY" do
    # Of shop "a": sale 2 gets other values, sale 5 comes; shop "b" loses its only sale.
    @change [
      {:update, "sales", 2,
       %{amount: 5, price: "0.25", rate: 8.0, paid: false, day: "2023-12-31"}},
      {:create, "sales", 5,
       %{shop: "a", amount: nil, price: "NaN", rate: nil, paid: true, day: "infinity"}},
      {:delete, "sales", 3}
    ]

    for {call, before, now} <- [
          {"count(*)", %{"a" => 2, "b" => 1, nil => 1}, %{"a" => 3, nil => 1}},
          {"count(amount)", %{"a" => 2, "b" => 0, nil => 1}, %{"a" => 2, nil => 1}},
          {"count(DISTINCT amount)", %{"a" => 1, "b" => 0, nil => 1}, %{"a" => 2, nil => 1}},
          {"count(*) FILTER (WHERE paid)", %{"a" => 1, "b" => 0, nil => 1},
           %{"a" => 2, nil => 1}},
          {"sum(amount)", %{"a" => 6, "b" => nil, nil => 7}, %{"a" => 8, nil => 7}},
          {"sum(DISTINCT amount)", %{"a" => 3, "b" => nil, nil => 7}, %{"a" => 8, nil => 7}},
          {"sum(price)", %{"a" => "4.00", "b" => nil, nil => "1.5"},
           %{"a" => "NaN", nil => "1.5"}},
          {"sum(price) FILTER (WHERE price <> 'NaN')", %{"a" => "4.00", "b" => nil, nil => "1.5"},
           %{"a" => "1.75", nil => "1.5"}},
          {"sum(rate)", %{"a" => 1.75, "b" => nil, nil => 2.0}, %{"a" => 9.5, nil => 2.0}},
          {"avg(amount)", %{"a" => "3.0000000000000000", "b" => nil, nil => "7.0000000000000000"},
           %{"a" => "4.0000000000000000", nil => "7.0000000000000000"}},
          {"avg(DISTINCT amount)",
           %{"a" => "3.0000000000000000", "b" => nil, nil => "7.0000000000000000"},
           %{"a" => "4.0000000000000000", nil => "7.0000000000000000"}},
          {"avg(rate)", %{"a" => 0.875, "b" => nil, nil => 2.0}, %{"a" => 4.75, nil => 2.0}},
          {"min(amount)", %{"a" => 3, "b" => nil, nil => 7}, %{"a" => 3, nil => 7}},
          {"max(amount)", %{"a" => 3, "b" => nil, nil => 7}, %{"a" => 5, nil => 7}},
          {"min(price)", %{"a" => "1.50", "b" => nil, nil => "1.5"},
           %{"a" => "0.25", nil => "1.5"}},
          {"max(price)", %{"a" => "2.5", "b" => nil, nil => "1.5"},
           %{"a" => "NaN", nil => "1.5"}},
          {"min(day)", %{"a" => "2024-01-01", "b" => nil, nil => "2024-01-01"},
           %{"a" => "2023-12-31", nil => "2024-01-01"}},
          {"max(day)", %{"a" => "2024-02-01", "b" => nil, nil => "2024-01-01"},
           %{"a" => "infinity", nil => "2024-01-01"}},
          {"bool_and(paid)", %{"a" => true, "b" => false, nil => true},
           %{"a" => false, nil => true}},
          {"every(paid)", %{"a" => true, "b" => false, nil => true},
           %{"a" => false, nil => true}},
          {"bool_or(paid)", %{"a" => true, "b" => false, nil => true},
           %{"a" => true, nil => true}},
          {"bool_or(NOT paid)", %{"a" => false, "b" => true, nil => false},
           %{"a" => true, nil => false}}
        ] do
      test call do
        {before, now} = {unquote(Macro.escape(before)), unquote(Macro.escape(now))}
        sql = "SELECT shop, #{unquote(call)} AS result FROM sales GROUP BY shop"
        {rows, records, after_it} = told(sql, @change)

        # A group's id is what it is grouped by, NULL too.
        as_rows = fn groups ->
          for {shop, result} <- groups,
              into: %{},
              do: {shop, %{"shop" => shop, "result" => result}}
        end

        assert Map.new(rows) == as_rows.(before)
        assert Map.new(after_it) == as_rows.(now)
        deleted = %{event: :deleted, id: "b", record: as_rows.(before)["b"]}
        updated = %{event: :updated, id: "a", record: as_rows.(now)["a"]}

        # Only groups whose result is another one are told of.
        expected = if before["a"] == now["a"], do: [deleted], else: [updated, deleted]
        assert records == expected
      end
    end

    test "without it all rows are one group, which is there without rows too" do
      sql = "SELECT count(*), sum(amount) AS sum, max(day) AS max FROM sales"

      {[{[], before}], records, [{[], now}]} =
        told(sql, for(id <- 1..4, do: {:delete, "sales", id}))

      assert before == %{"count" => 4, "sum" => 13, "max" => "2024-02-01"}
      assert now == %{"count" => 0, "sum" => nil, "max" => nil}
      assert records == [%{event: :updated, id: [], record: now}]
    end

    test "several keys are the id, and expressions may be keys" do
      sql = """
      SELECT shop, amount > 4 AS much, count(*) FROM sales WHERE shop IS NOT NULL GROUP BY shop, amount > 4
      """

      {before, records, _now} = told(sql, [{:update, "sales", 1, %{amount: 9}}])

      assert for({id, row} <- before, do: {id, row["count"]}) == [
               {["a", false], 2},
               {["b", nil], 1}
             ]

      assert for(r <- records, do: {r.event, r.id, r.record["count"]}) == [
               {:updated, ["a", false], 1},
               {:created, ["a", true], 1}
             ]
    end

    test "HAVING lets groups in and out" do
      sql = "SELECT shop, sum(amount) AS sum FROM sales GROUP BY shop HAVING count(*) > 1"
      row = fn shop, sum -> %{"shop" => shop, "sum" => sum} end
      operations = [{:update, "sales", 2, %{shop: "b", amount: 1}}]
      {before, records, now} = told(sql, operations)
      assert {before, now} == {[{"a", row.("a", 6)}], [{"b", row.("b", 1)}]}

      assert records == [
               %{event: :deleted, id: "a", record: row.("a", 6)},
               %{event: :created, id: "b", record: row.("b", 1)}
             ]
    end

    test "what comes and goes in one batch, and what leaves the results alone, is not told" do
      sql = "SELECT shop, sum(amount) AS sum FROM sales GROUP BY shop"

      # Two of one group swap, one comes and goes, one changes what is not asked for.
      {before, [], now} =
        told(sql, [
          {:update, "sales", 1, %{amount: 2}},
          {:update, "sales", 2, %{amount: 4}},
          sale(9, shop: "b", amount: 4),
          {:delete, "sales", 9},
          {:update, "sales", 3, %{paid: true}}
        ])

      assert before == now
    end
  end

  describe "DISTINCT" do
    test "a row is there as long as one that it stands for is" do
      sql = "SELECT DISTINCT amount FROM sales"
      {before, records, _now} = told(sql, [{:delete, "sales", 1}])
      # The value is the id; NULL sorts last.
      assert {before, records} ==
               {for(n <- [3, 7, nil], do: {n, %{"amount" => n}}), []}

      {_before, records, _now} =
        told(sql, [
          {:delete, "sales", 1},
          {:update, "sales", 2, %{amount: 8}},
          {:update, "sales", 3, %{amount: 8}}
        ])

      assert events(records) == [{:deleted, 3, 3}, {:created, 8, 8}, {:deleted, nil, nil}]
    end

    test "values that PostgreSQL takes for equal are one row and one id, in the way that sorts first" do
      {:ok, circuit} = Circuit.new(tables: @tables)
      step!(circuit, loaded())
      assert view!(circuit, :view, "SELECT DISTINCT price FROM sales").ids == ["1.5", "2.5", nil]
      # "1.5" is gone, and "1.50" is still there.
      [update] = step!(circuit, [{:update, "sales", 4, %{price: "1.500"}}])
      record = %{"price" => "1.50"}
      assert update.records == [%{event: :updated, id: "1.50", record: record}]
      assert column(rows!(circuit, :view)) == ["1.50", "2.5", nil]
      assert step!(circuit, [{:delete, "sales", 4}]) == []
    end

    test "several values are the id" do
      sql = "SELECT DISTINCT city, rank FROM shops"
      {before, records, _now} = told(sql, [{:update, "shops", "c", %{rank: 4}}])
      assert for({id, _} <- before, do: id) == [["Bonn", 7], ["Ulm", 3]]

      assert records ==
               [%{event: :created, id: ["Ulm", 4], record: %{"city" => "Ulm", "rank" => 4}}]
    end
  end

  describe "ORDER BY" do
    test "rows come in its order, NULL and ties where PostgreSQL has them" do
      ids = fn order ->
        {rows, _, _} = told("SELECT id FROM sales ORDER BY #{order}", [{:delete, "sales", 1}])
        column(rows)
      end

      assert ids.("amount") == [1, 2, 4, 3]
      assert ids.("amount DESC") == [3, 4, 1, 2]
      assert ids.("amount DESC NULLS LAST") == [4, 1, 2, 3]
      assert ids.("amount NULLS FIRST, id DESC") == [3, 2, 1, 4]
      assert ids.("shop DESC, price * -1") == [4, 3, 2, 1]
      assert ids.("1 DESC") == [4, 3, 2, 1]
    end

    test "LIMIT: a row that leaves the window makes room for the next" do
      sql = "SELECT id FROM sales ORDER BY amount NULLS FIRST LIMIT 2"
      {before, records, now} = told(sql, [{:update, "sales", 3, %{amount: 9}}])
      assert {column(before), column(now)} == {[3, 1], [1, 2]}
      assert events(records) == [{:created, 2, 2}, {:deleted, 3, 3}]
      # One that comes before them takes the last one's place.
      {_before, records, now} = told(sql, [sale(0, amount: nil), sale(5, amount: 100)])
      assert column(now) == [0, 3]
      assert events(records) == [{:created, 0, 0}, {:deleted, 1, 1}]
    end

    test "OFFSET: what changes before the window moves it" do
      sql = "SELECT id FROM sales ORDER BY id LIMIT 2 OFFSET 1"
      {before, records, now} = told(sql, [{:delete, "sales", 1}])
      assert {column(before), column(now)} == {[2, 3], [3, 4]}
      assert events(records) == [{:deleted, 2, 2}, {:created, 4, 4}]
      {_before, records, now} = told(sql, [sale(0, [])])
      assert column(now) == [1, 2]
      assert events(records) == [{:created, 1, 1}, {:deleted, 3, 3}]
      # Behind it nothing is told.
      assert {_, [], _} = told(sql, [{:delete, "sales", 4}, sale(5, [])])
      {before, records, now} = told("SELECT id FROM sales OFFSET 3", [sale(0, [])])
      assert {column(before), events(records), column(now)} == {[4], [{:created, 3, 3}], [3, 4]}
    end

    test "a row that moves within the window is updated, though nothing of it shows that" do
      sql = "SELECT shop FROM sales WHERE id < 3 ORDER BY price LIMIT 5"
      {before, records, now} = told(sql, [{:update, "sales", 1, %{price: "9"}}])
      assert {for({id, _} <- before, do: id), for({id, _} <- now, do: id)} == {[1, 2], [2, 1]}
      assert records == [%{event: :updated, id: 1, record: %{"shop" => "a"}}]
    end

    test "of groups, by what is counted" do
      sql = "SELECT shop, count(*) FROM sales GROUP BY shop ORDER BY count(*) DESC, shop LIMIT 1"
      operations = [{:update, "sales", 1, %{shop: "b"}}, {:update, "sales", 4, %{shop: "b"}}]
      {before, records, now} = told(sql, operations)
      assert before == [{"a", %{"shop" => "a", "count" => 2}}]
      assert now == [{"b", %{"shop" => "b", "count" => 3}}]
      assert for(r <- records, do: {r.event, r.id}) == [deleted: "a", created: "b"]
    end
  end

  describe "UNION, INTERSECT, EXCEPT" do
    # Amounts 3, 3, NULL, 7 and ranks 3, 7, 3. Then 3, 7, NULL, 7 and 3, 7, NULL.
    @change [{:update, "sales", 2, %{amount: 7}}, {:update, "shops", "c", %{rank: nil}}]

    for {word, before, records, now} <- [
          {"UNION", [3, 7, nil], [], [3, 7, nil]},
          {"INTERSECT", [3, 7], [{:created, nil, nil}], [3, 7, nil]},
          {"EXCEPT", [nil], [{:deleted, nil, nil}], []},
          {"INTERSECT ALL", [3, 3, 7], [{:deleted, [3, 2], 3}, {:created, [nil, 1], nil}],
           [3, 7, nil]},
          {"EXCEPT ALL", [nil], [{:created, [7, 1], 7}, {:deleted, [nil, 1], nil}], [7]},
          {"UNION ALL", [3, 3, nil, 7, 3, 7, 3],
           [{:updated, [0, 2, nil], 7}, {:updated, [1, nil, "c"], nil}],
           [3, 7, nil, 7, 3, 7, nil]}
        ] do
      test word do
        sql = "SELECT amount FROM sales #{unquote(word)} SELECT rank FROM shops"
        {rows, records, after_it} = told(sql, @change)
        assert column(rows) == unquote(before)
        assert events(records) == unquote(Macro.escape(records))
        assert column(after_it) == unquote(now)
      end
    end

    test "ids of UNION ALL name the query and its row, of the others the values" do
      {rows, _, _} = told("SELECT id, shop FROM sales UNION ALL SELECT rank, city FROM shops", [])

      assert for({id, _} <- rows, do: id) ==
               for(id <- 1..4, do: [0, id, nil]) ++ for(name <- ~w(a b c), do: [1, nil, name])

      {rows, _, _} = told("SELECT id, shop FROM sales UNION SELECT rank, city FROM shops", [])

      assert [[1, "a"], [2, "a"], [3, "Ulm"], [3, "b"], [4, nil], [7, "Bonn"]] =
               Enum.map(rows, &elem(&1, 0))
    end

    test "three of them, with an order and a limit" do
      sql = """
      (SELECT amount FROM sales EXCEPT SELECT rank FROM shops WHERE city = 'Bonn')
      UNION SELECT id::int4 FROM sales ORDER BY amount DESC LIMIT 3
      """

      {before, records, now} = told(sql, [{:update, "shops", "b", %{city: "Ulm"}}])
      assert {column(before), column(now)} == {[nil, 4, 3], [nil, 7, 4]}
      assert events(records) == [{:deleted, 3, 3}, {:created, 7, 7}]
    end
  end

  describe "queries within queries" do
    test "groups in FROM, joined" do
      sql = """
      SELECT s.city, q.n FROM (SELECT shop, count(*) AS n FROM sales GROUP BY shop) q
      JOIN shops s ON s.name = q.shop WHERE q.n > 1
      """

      operations = [{:update, "sales", 1, %{shop: "b"}}]
      {before, records, now} = told(sql, operations)
      # The id of the group, and of the shop.
      assert before == [{["a", "a"], %{"city" => "Ulm", "n" => 2}}]
      assert now == [{["b", "b"], %{"city" => "Bonn", "n" => 2}}]
      assert for(r <- records, do: {r.event, r.id}) == [deleted: ["a", "a"], created: ["b", "b"]]
    end

    test "aggregates of aggregates" do
      sql = "SELECT max(n) AS most FROM (SELECT count(*) AS n FROM sales GROUP BY shop) q"
      {before, records, now} = told(sql, [sale(5, shop: "a"), sale(6, shop: "b")])
      assert {column(before), column(now)} == {[2], [3]}
      assert events(records) == [{:updated, [], 3}]
    end

    test "a window in FROM" do
      sql = """
      SELECT q.id FROM (SELECT id, shop FROM sales ORDER BY rate DESC NULLS LAST LIMIT 2) q WHERE q.shop = 'a'
      """

      {before, records, now} = told(sql, [{:update, "sales", 2, %{rate: 5.0}}])
      assert {column(before), column(now)} == {[1], [2]}
      assert events(records) == [{:deleted, 1, 1}, {:created, 2, 2}]
    end

    test "WITH, named twice" do
      sql = """
      WITH paid AS (SELECT * FROM sales WHERE paid), best AS (SELECT max(amount) AS most FROM paid)
      SELECT p.id FROM paid p JOIN best b ON b.most = p.amount
      """

      {before, records, now} = told(sql, [{:update, "sales", 4, %{paid: nil}}])
      assert {column(before), column(now)} == {[4], [1]}
      assert events(records) == [{:created, 1, 1}, {:deleted, 4, 4}]
      # Both that have the most.
      {_before, records, now} = told(sql, [{:update, "sales", 1, %{amount: 7}}])
      assert {column(now), events(records)} == {[1, 4], [{:created, 1, 1}]}
    end

    test "IN a grouped query, and one with a limit" do
      sql = """
      SELECT name FROM shops WHERE name IN (SELECT shop FROM sales GROUP BY shop HAVING count(*) > 1)
      """

      {before, records, _now} =
        told(sql, [{:update, "sales", 2, %{shop: "c"}}, sale(5, shop: "c")])

      assert column(before) == ["a"]
      assert events(records) == [{:deleted, "a", "a"}, {:created, "c", "c"}]

      sql =
        "SELECT name FROM shops WHERE name NOT IN (SELECT shop FROM sales ORDER BY id LIMIT 2)"

      {before, records, _now} = told(sql, [{:delete, "sales", 1}])
      assert column(before) == ["b", "c"]
      assert events(records) == [{:deleted, "b", "b"}]
    end
  end

  describe "trees" do
    @tree """
    SELECT name, ARRAY(SELECT id, amount FROM sales s WHERE s.shop = h.name ORDER BY id DESC LIMIT 2) AS last
    FROM shops h WHERE city = 'Ulm'
    """

    test "a batch is told under the rows it concerns, and undone by its inverse" do
      {:ok, circuit} = Circuit.new(tables: @tables)
      step!(circuit, loaded())
      first = view!(circuit, :tree, @tree, format: :tree)
      assert first.ids == ["a", "c"]

      assert for(r <- first.records, do: {r.id, for(s <- r.record["last"], do: s.id)}) == [
               {"a", [1, 2]},
               {"c", []}
             ]

      operations = [
        {:update, "sales", 1, %{amount: 4}},
        {:update, "sales", 3, %{shop: "c", amount: 1}},
        sale(5, shop: "a", amount: 6),
        {:update, "shops", "b", %{city: "Ulm"}}
      ]

      [update] = step!(circuit, operations)

      sale = fn event, id, amount ->
        %{event: event, id: id, record: %{"id" => id, "amount" => amount}}
      end

      shop = fn event, name, last ->
        %{event: event, id: name, record: %{"name" => name, "last" => last}}
      end

      # Sale 1 leaves the window of two as it was there.
      assert update.records == [
               shop.(:updated, "a", [sale.(:deleted, 1, 3), sale.(:created, 5, 6)]),
               shop.(:created, "b", []),
               shop.(:updated, "c", [sale.(:created, 3, 1)])
             ]

      assert update.ids == ["a", "b", "c"]
      assert {:ok, update.hash} == Circuit.hash(circuit, :tree)

      assert for(
               {name, row} <- rows!(circuit, :tree),
               do: {name, for({id, _} <- row["last"], do: id)}
             ) ==
               [{"a", [5, 2]}, {"b", []}, {"c", [3]}]

      again = view!(circuit, :again, @tree, format: :tree)
      assert again.hash == update.hash
      rows = for {:create, table, id, record} <- loaded(), into: %{}, do: {{table, id}, record}
      [undone, _] = step!(circuit, undone(operations, rows))
      assert {undone.hash, undone.ids} == {first.hash, first.ids}
    end
  end

  test "what is refused is refused by code, place and SQLSTATE, and leaves nothing" do
    {:ok, circuit} = Circuit.new(tables: @tables)

    for {sql, code, at, sqlstate} <- [
          {"SELECT shop, amount FROM sales GROUP BY shop", :invalid_query, "amount", "42803"},
          {"SELECT count(*) FROM sales WHERE count(*) > 1", :aggregate, "count(*) >", "42803"},
          {"SELECT sum(sum(amount)) FROM sales", :invalid_query, "sum(amount)", "42803"},
          {"SELECT sum(shop) FROM sales", :unknown_function, "sum(", "42883"},
          {"SELECT array_agg(id) FROM sales", :not_supported, "array_agg", "0A000"},
          {"SELECT string_agg(shop, ',') FROM sales", :not_supported, "string_agg", "0A000"},
          {"SELECT max(id ORDER BY id) FROM sales", :not_supported, "max", "0A000"},
          {"SELECT count(*) FROM sales GROUP BY ROLLUP(shop)", :not_supported, "GROUP BY",
           "0A000"},
          {"SELECT id, row_number() OVER () FROM sales", :not_supported, "row_number", "0A000"},
          {"SELECT DISTINCT ON (shop) id FROM sales", :not_supported, "DISTINCT", "0A000"},
          {"SELECT DISTINCT shop FROM sales ORDER BY id", :invalid_query, "id", "42P10"},
          {"SELECT id FROM sales ORDER BY 2", :invalid_query, "2", "42P10"},
          {"SELECT id FROM sales ORDER BY id USING >", :not_supported, "USING", "0A000"},
          {"SELECT id FROM sales LIMIT -1", :invalid_query, "-1", "2201W"},
          {"SELECT id FROM sales OFFSET -1", :invalid_query, "-1", "2201X"},
          {"SELECT id FROM sales LIMIT amount", :unknown_column, "amount", "42703"},
          {"SELECT id FROM sales UNION SELECT name FROM shops", :datatype_mismatch, "UNION",
           "42804"},
          {"SELECT id FROM sales UNION SELECT name, rank FROM shops", :syntax_error, "UNION",
           "42601"},
          {"SELECT id FROM (SELECT id FROM sales)", :syntax_error, "FROM (", "42601"},
          {"SELECT s.id FROM sales s, LATERAL (SELECT 1 FROM shops WHERE s.id = 1) q",
           :not_supported, "FROM sales s", "0A000"},
          {"WITH RECURSIVE r AS (SELECT id FROM sales) SELECT id FROM r", :not_supported, "WITH",
           "0A000"},
          {"WITH a AS (DELETE FROM sales RETURNING id) SELECT id FROM a", :not_supported, "a AS",
           "0A000"},
          {"SELECT (SELECT max(rank) FROM shops) FROM sales", :not_supported, "(SELECT", "0A000"},
          {"SELECT ARRAY(SELECT rank FROM shops WHERE name = s.shop) FROM sales s",
           :not_supported, "ARRAY", "0A000"},
          {"SELECT s.id FROM sales s LEFT JOIN shops h ON h.name = s.shop", :not_supported,
           "shops h ON", "0A000"},
          {"SELECT id FROM sales FOR UPDATE", :not_supported, "FOR", "0A000"},
          {"VALUES (1)", :not_supported, "VALUES", "0A000"}
        ] do
      assert {:error, %Error{} = error} = Circuit.register(circuit, :view, sql)
      from = binary_part(sql, error.position, byte_size(sql) - error.position)
      assert {error.code, error.sqlstate} == {code, sqlstate}, "#{sql}: #{inspect(error)}"
      assert String.starts_with?(from, at), "#{sql} is refused at #{inspect(from)}"
      assert error.message != ""
    end

    assert Circuit.views(circuit) == {:ok, []}
    assert {:ok, %{nodes: 0}} = Circuit.stats(circuit)
  end

  test "a batch that an aggregate cannot take changes nothing" do
    {:ok, circuit} = Circuit.new(tables: @tables)
    view!(circuit, :sum, "SELECT sum(rate) AS sum FROM sales")
    view!(circuit, :count, "SELECT shop, count(*) FROM sales GROUP BY shop")
    step!(circuit, [sale(1, shop: "a", rate: 1.0e308)])
    before = for view <- [:sum, :count], do: {rows!(circuit, view), Circuit.hash(circuit, view)}
    batch = ShapeRouter.TestCircuits.batch([sale(2, shop: "a", rate: 1.0e308)])

    assert {:error, %Error{code: :raised, sqlstate: "22003"} = error} =
             Circuit.step(circuit, batch)

    assert error.message =~ "sum"

    assert before ==
             for(view <- [:sum, :count], do: {rows!(circuit, view), Circuit.hash(circuit, view)})

    # With what keeps the sum in its range it is taken.
    step!(circuit, [sale(2, shop: "a", rate: 1.0e308), sale(3, rate: -1.0e308)])
    assert column(rows!(circuit, :sum)) == [1.0e308]
  end
end
