export default function Computers() {
  return <div class="page" />;
}
