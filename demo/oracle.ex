defmodule ShapeRouter.Demo.Oracle do
  @moduledoc """
  PostgreSQL's own answer: which rows does each shape hold?

  It is asked once per template, with the shapes' values in a table of parameters, not once per
  shape (but for those with subqueries). All of it happens in one transaction with one snapshot, which can be an exported one.
  """

  alias ShapeRouter.Demo.{Fingerprint, Schema, Server, Template}

  @doc """
  Calls `fun` with `{shape_id, key, fingerprint}` for every row of every shape.

  Options: `:snapshot`, the name of an exported one; `:only`, a list of `{shape_id, key}`: just these
  rows are looked at.
  """
  @spec each_member(Server.t(), [struct()], keyword(), (tuple() -> any())) :: :ok
  def each_member(server, shapes, opts \\ [], fun) do
    only = Keyword.get(opts, :only, :all)
    wanted = if only == :all, do: "", else: "JOIN wanted w USING (shape)"
    key = if only == :all, do: "", else: "t.k = w.k AND"

    select = "SELECT p.shape, t.k, t.h FROM p #{wanted} JOIN r_%TABLE% t ON #{key} %CLAUSE%"

    for line <- ask(server, shapes, select, only, opts[:snapshot]) do
      [shape, key, fingerprint] = String.split(line, "\t")
      # Copied, so that no key keeps the whole answer alive.
      fun.({String.to_integer(shape), :binary.copy(key), String.to_integer(fingerprint)})
    end

    :ok
  end

  @doc "For each shape that holds any row: how many, and the sum of their fingerprints."
  @spec sums(Server.t(), [struct()]) :: %{pos_integer() => {pos_integer(), non_neg_integer()}}
  def sums(server, shapes) do
    select =
      "SELECT p.shape, count(*), sum(t.h) FROM p JOIN r_%TABLE% t ON %CLAUSE% GROUP BY p.shape"

    for line <- ask(server, shapes, select, :all, nil), into: %{} do
      [shape, count, sum] = line |> String.split("\t") |> Enum.map(&String.to_integer/1)
      {shape, {count, sum}}
    end
  end

  @doc "The rows of one shape, by the very text of its clause: key -> fingerprint."
  @spec rows(Server.t(), struct()) :: %{String.t() => Fingerprint.t()}
  def rows(server, shape) do
    output =
      Server.psql!(server, """
      COPY (SELECT #{Schema.key_sql(shape.table)}, #{Fingerprint.sql(shape.table)}
            FROM #{shape.table} WHERE #{shape.where || "true"}) TO STDOUT;
      """)

    for line <- String.split(output, "\n", trim: true), into: %{} do
      [key, fingerprint] = String.split(line, "\t")
      {key, String.to_integer(fingerprint)}
    end
  end

  defp ask(server, shapes, select, only, snapshot) do
    groups = shapes |> Enum.group_by(& &1.template) |> Enum.with_index()
    tables = shapes |> Enum.map(& &1.table) |> Enum.uniq()
    directory = Path.join(server.directory, "parameters-#{System.unique_integer([:positive])}")
    File.mkdir_p!(directory)

    try do
      script = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ;\n",
        if(snapshot, do: "SET TRANSACTION SNAPSHOT '#{snapshot}';\n", else: []),
        "SET LOCAL work_mem = '128MB';\n",
        # A fingerprint is worked out once per row, not once per row and shape.
        for table <- tables do
          """
          CREATE TEMP TABLE r_#{table} ON COMMIT DROP AS
            SELECT *, #{Schema.key_sql(table)} AS k, #{Fingerprint.sql(table)} AS h FROM #{table};
          ANALYZE r_#{table};
          """
        end,
        wanted(directory, only),
        for {{template, group}, number} <- groups do
          if Template.subquery?(template),
            do: Enum.map(group, &one(&1, select)),
            else: all(template, group, select, Path.join(directory, "#{number}"))
        end,
        "COMMIT;\n"
      ]

      server |> Server.psql!(script) |> String.split("\n", trim: true)
    after
      File.rm_rf!(directory)
    end
  end

  # All shapes of a template at once.
  defp all(template, group, select, file) do
    File.write!(file, Enum.map(group, &parameters/1))
    columns = template.types |> Enum.with_index(1) |> Enum.map(fn {t, n} -> ", p#{n} #{t}" end)

    """
    CREATE TEMP TABLE p (shape int#{columns}) ON COMMIT DROP;
    \\copy p from '#{file}'
    ANALYZE p;
    COPY (#{query(template.table, select, Template.over_parameters(template))}) TO STDOUT;
    DROP TABLE p;
    """
  end

  # With values of each shape in it, a subquery would be run for every row and shape.
  defp one(shape, select) do
    query = query(shape.table, select, "(#{shape.where})")
    "COPY (WITH p AS (SELECT #{shape.id} AS shape) #{query}) TO STDOUT;\n"
  end

  defp query(table, select, clause),
    do: select |> String.replace("%TABLE%", table) |> String.replace("%CLAUSE%", clause)

  defp wanted(_directory, :all), do: []

  defp wanted(directory, pairs) do
    file = Path.join(directory, "wanted")
    File.write!(file, for({shape, key} <- pairs, do: "#{shape}\t#{key}\n"))

    """
    CREATE TEMP TABLE wanted (shape int, k text) ON COMMIT DROP;
    \\copy wanted from '#{file}'
    ANALYZE wanted;
    """
  end

  # COPY's text form: a backslash is the only character of ours that it gives a meaning.
  defp parameters(shape) do
    values = Enum.map(shape.values, &(&1 |> Template.text() |> String.replace("\\", "\\\\")))
    [Enum.intersperse([Integer.to_string(shape.id) | values], "\t"), "\n"]
  end
end
