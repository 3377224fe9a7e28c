defmodule ShapeRouter.Columns do
  @moduledoc false
  # A table's columns as users write them -> names and PostgreSQL's type names, as the NIF reads them.

  alias ShapeRouter.Error

  @type type ::
          atom()
          | String.t()
          | {:array, type()}
          | {:enum, [String.t()]}
          | {:numeric, pos_integer(), integer()}
          | {:varchar, pos_integer()}
          | {:bpchar, pos_integer()}
          | {:collate, type(), String.t()}
  @type t :: [{atom() | String.t(), type()}]

  @spec normalize(t() | nil) :: {:ok, [{String.t(), String.t()}] | nil} | {:error, Error.t()}
  def normalize(nil), do: {:ok, nil}

  def normalize(columns) when is_list(columns) do
    Enum.reduce_while(columns, {:ok, []}, fn column, {:ok, done} ->
      with {:ok, name, type} <- pair(column),
           {:ok, type} <- type(type) do
        {:cont, {:ok, [{name, type} | done]}}
      else
        :error ->
          {:halt, Error.argument("not a column of the form {name, type}: #{inspect(column)}")}

        {:error, error} ->
          {:halt, {:error, error}}
      end
    end)
    |> case do
      {:ok, reversed} -> {:ok, Enum.reverse(reversed)}
      error -> error
    end
  end

  def normalize(other), do: Error.argument("columns is not a list: #{inspect(other)}")

  @spec names(term()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def names(names) when is_list(names) do
    case Enum.find(names, &(name(&1) == :error)) do
      nil -> {:ok, Enum.map(names, &to_string/1)}
      bad -> Error.argument("not the name of a column: #{inspect(bad)}")
    end
  end

  def names(other), do: Error.argument("not a list of column names: #{inspect(other)}")

  defp pair({name, type}) do
    case name(name) do
      :error -> :error
      name -> {:ok, name, type}
    end
  end

  defp pair(_other), do: :error

  defp name(name) when is_binary(name), do: name
  defp name(name) when is_atom(name) and name not in [nil, true, false], do: Atom.to_string(name)
  defp name(_other), do: :error

  defp type(type) when is_binary(type), do: {:ok, type}

  defp type(type) when is_atom(type) and type not in [nil, true, false],
    do: {:ok, Atom.to_string(type)}

  defp type({:numeric, precision, scale}) when is_integer(precision) and is_integer(scale),
    do: {:ok, "numeric(#{precision},#{scale})"}

  defp type({:varchar, length}) when is_integer(length), do: {:ok, "varchar(#{length})"}
  defp type({:bpchar, length}) when is_integer(length), do: {:ok, "character(#{length})"}

  defp type({:array, element}) do
    with {:ok, element} <- type(element), do: {:ok, element <> "[]"}
  end

  defp type({kind, _, _} = type) when kind == :collate, do: not_supported(type)
  defp type({:enum, labels} = type) when is_list(labels), do: not_supported(type)
  defp type(other), do: Error.argument("not a column type: #{inspect(other)}")

  defp not_supported(type) do
    message = "columns of type #{inspect(type)} are not supported yet"
    {:error, %Error{code: :not_supported, message: message}}
  end
end
